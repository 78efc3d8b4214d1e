"""One file a work: `WORK`, what the peers of a folder are given to do and how their answers are held against simlab's."""
