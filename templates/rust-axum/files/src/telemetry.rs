//! Logs as JSON lines that carry the trace, and traces by OTLP when an endpoint is set.

use crate::Info;
use opentelemetry::{Context, KeyValue, global, trace::TraceContextExt};
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use serde_json::{Map, Value, json};
use std::{error::Error, fmt};
use tracing::{Event, Level, Subscriber, field::Field};
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, Targets},
    fmt::{
        FmtContext, FormatEvent, FormatFields, MakeWriter,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

/// One JSON object a line: time, level, message, trace_id, span_id, then the event's fields.
pub fn logs(level: Level, writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static) {
    let mut targets = Targets::new().with_default(level);
    for chatty in ["hyper", "reqwest", "rustls", "opentelemetry"] {
        targets = targets.with_target(chatty, LevelFilter::WARN.min(level.into()));
    }
    let layer = tracing_subscriber::fmt::layer().event_format(JsonLines).with_writer(writer).with_filter(targets);
    // Set already: only in tests, where the first one wins.
    let _ = tracing_subscriber::registry().with(layer).try_init();
}

struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut fields = Fields::default();
        event.record(&mut fields);
        let context = Context::current();
        let span = context.span().span_context().clone();
        let (trace_id, span_id) = match span.is_valid() {
            true => (span.trace_id().to_string(), span.span_id().to_string()),
            false => Default::default(),
        };
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        let mut line = Map::from_iter([
            ("time".to_string(), json!(time)),
            ("level".to_string(), json!(level)),
            ("message".to_string(), json!(fields.message)),
            ("trace_id".to_string(), json!(trace_id)),
            ("span_id".to_string(), json!(span_id)),
        ]);
        line.extend(fields.rest);
        writeln!(writer, "{}", Value::Object(line))
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    rest: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match field.name() {
            "message" => self.message = value.as_str().map_or_else(|| value.to_string(), String::from),
            name => drop(self.rest.insert(name.into(), value)),
        }
    }
}

impl tracing::field::Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, json!(format!("{value:?}")));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, json!(value));
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, json!(value));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, json!(value));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, json!(value));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, json!(value));
    }
}

/// Sends what is left when it is dropped.
pub struct Flush(SdkTracerProvider);

impl Drop for Flush {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown_with_timeout(std::time::Duration::from_secs(2)) {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// Makes every request a span, so that logs can be joined, and sends the spans by OTLP/HTTP only if asked to.
/// The exporter and the sampler read the usual OTEL_ variables.
pub fn traces(info: &Info, export: bool) -> Result<Flush, Box<dyn Error + Send + Sync>> {
    crate::outbound::install_tls();
    global::set_text_map_propagator(TraceContextPropagator::new());
    let resource = Resource::builder()
        .with_service_name(info.service.clone())
        .with_attribute(KeyValue::new("service.version", info.version.clone()));
    let mut provider = SdkTracerProvider::builder().with_resource(resource.build());
    if export {
        provider = provider.with_batch_exporter(opentelemetry_otlp::SpanExporter::builder().with_http().build()?);
    }
    let provider = provider.build();
    global::set_tracer_provider(provider.clone());
    Ok(Flush(provider))
}
