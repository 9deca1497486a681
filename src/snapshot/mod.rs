//! What is known of one cluster at one time, as it was written.
