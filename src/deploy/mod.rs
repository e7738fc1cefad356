//! Deploys a service: image, secrets, preflight, plan, rollout; and says what is wrong when it is.

pub mod diagnose;
