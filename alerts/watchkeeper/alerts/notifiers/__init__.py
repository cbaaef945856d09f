"""The notifiers, one file each: a file's name is the receiver's ``type``, its ``build`` makes one."""
