"""The version of the library and its command line."""

VERSION = "0.1.0"
