//! Configuration by content: an immutable ConfigMap and Secret whose names change with what they hold, so that each
//! revision keeps its own and going back brings it back.

use serde_json::{Map, Value, json};

use super::object::{Kind, object};
use super::{Input, keyed, sha256};

/// The configuration of one revision.
pub struct Configuration {
    config: Option<Value>,
    secret: Option<Value>,
}

impl Configuration {
    /// Name of the ConfigMap, where there is any configuration.
    pub fn config(&self) -> Option<&str> {
        self.config.as_ref().map(super::name_of)
    }
    /// Name of the Secret, where there are secrets that msctl stores.
    pub fn secret(&self) -> Option<&str> {
        self.secret.as_ref().map(super::name_of)
    }
    pub fn objects(self) -> impl Iterator<Item = Value> {
        self.config.into_iter().chain(self.secret)
    }
}

pub(super) fn of(input: &Input<'_>) -> Configuration {
    let service = input.service;
    let data: Map<String, Value> =
        service.config.iter().map(|(name, value)| (name.clone(), value.0.clone().into())).collect();
    let config = (!data.is_empty()).then(|| {
        let data = Value::Object(data);
        let name = format!("{}-config-{}", service.service, &sha256(&data)[..10]);
        object(Kind::ConfigMap, service, &name, json!({"immutable": true, "data": data}))
    });
    let values: Map<String, Value> =
        input.secrets.iter().map(|(name, value)| (name.clone(), encode(value).into())).collect();
    let secret = (!values.is_empty()).then(|| {
        let data = Value::Object(values);
        let name = format!("{}-secrets-{}", service.service, &keyed(input.key, &data)[..10]);
        object(Kind::Secret, service, &name, json!({"type": "Opaque", "immutable": true, "data": data}))
    });
    Configuration { config, secret }
}

fn encode(value: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(value)
}
