//! The ServiceAccount: an identity without a token, since a service of ours does not talk to the cluster.

use serde_json::{Value, json};

use super::object::{Kind, object};
use crate::service::Service;

pub(super) fn of(service: &Service) -> Value {
    object(Kind::ServiceAccount, service, &service.service, json!({"automountServiceAccountToken": false}))
}
