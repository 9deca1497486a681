//! What a change does to the nodes, before ([`forecast()`]) and while it happens ([`status()`]).

mod forecast;
mod registries_change;
mod status;

pub use forecast::{Action, ChangedFile, Disruption, forecast};
pub use status::{
    Compare, Comparison, NodeFacts, NodeStatus, PoolStatus, RolloutStatus, State, Wanted, blind, status, status_of,
};
