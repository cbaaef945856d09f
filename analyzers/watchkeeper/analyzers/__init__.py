"""What is computed: one file a method, evaluated on a window as of a time."""
