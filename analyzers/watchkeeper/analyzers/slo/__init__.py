"""Whether objectives are kept, and how fast their budget burns."""
