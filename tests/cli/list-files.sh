#!/bin/sh
# Stands for a program that shows differences: names the files that it was given, and says with its exit code that they differ.
cd "$2" && find . -type f | sort
exit "${3:-1}"
