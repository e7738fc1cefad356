//! msctl.yaml: its model, where it is found, what is wrong with it. Pure but for reading the file.

mod bound;
mod discover;
mod environment;
mod metric;
mod model;
mod rollout;
mod scalar;
mod validate;
mod yaml;

pub use bound::Bound;
pub use discover::{FILE, Member, Project, discover};
pub use environment::Environment;
pub use metric::{BUILTINS, JobSpec, MetricSpec, SmokeSpec, WebSpec};
pub use model::*;
pub use rollout::*;
pub use scalar::{Amount, Duration, Percent};
pub use validate::{check_name, validate};
pub use yaml::parse as parse_yaml;

/// The JSON Schema of msctl.yaml.
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Service).to_value();
    if let Some(object) = schema.as_object_mut() {
        object.insert("$id".into(), "https://msctl.dev/schema/v1/msctl.json".into());
        object.insert("title".into(), "msctl.yaml".into());
    }
    schema
}
