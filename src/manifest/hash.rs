//! Hashes that do not depend on the order of keys.

use hmac::{Hmac, Mac};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// The value with all keys sorted.
pub fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            Value::Object(keys.into_iter().map(|k| (k.clone(), canonical(&map[k]))).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.iter().map(canonical).collect()),
        other => other.clone(),
    }
}

/// 64 hex digits.
pub fn sha256(value: &Value) -> String {
    hex::encode(Sha256::digest(canonical(value).to_string()))
}

/// 16 hex digits: enough to notice a change.
pub fn checksum(value: &Value) -> String {
    sha256(value)[..16].to_owned()
}

/// HMAC-SHA-256, 64 hex digits. Without the key nobody can try values against the hash.
pub fn keyed(key: &[u8], value: &Value) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(canonical(value).to_string().as_bytes());
    hex::encode(mac.finalize().into_bytes())
}
