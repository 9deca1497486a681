//! Formats that only lint has, one file each: what CI systems read. All render the one list of a [`super::report::LintReport`].
