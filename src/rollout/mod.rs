//! What a change does to the nodes, before ([`forecast()`]) and while it happens ([`status()`]).

mod forecast;
mod registries_change;

pub use forecast::{Action, ChangedFile, Disruption, forecast};
