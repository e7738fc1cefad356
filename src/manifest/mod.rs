//! A service as Kubernetes objects. Pure: a service, an image and secrets in, JSON out; one file per family.

pub mod names;
