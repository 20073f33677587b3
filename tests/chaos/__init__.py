"""Many tasks of many sizes and ends while lines break and calls fail; afterwards each result must be the truth."""
