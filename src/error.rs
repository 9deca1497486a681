//! The one error of this program: situations that a person can do something about.
