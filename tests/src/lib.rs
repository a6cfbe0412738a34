//! Black-box tests of the program, run as its users run it.
