//! The token flow and the odd answers, against a fake registry: the lab's real ones know Basic only.
use super::*;
use wiremock::matchers::{body_string_contains, header, header_exists, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

struct Fake {
    server: MockServer,
    home: tempfile::TempDir,
}

impl Fake {
    async fn new() -> Self {
        Fake { server: MockServer::start().await, home: tempfile::tempdir().unwrap() }
    }
    fn host(&self) -> String {
        self.server.address().to_string()
    }
    fn image(&self) -> Reference {
        Reference::parse(&format!("{}/shop/orders", self.host())).unwrap()
    }
    fn registries(&self, auth: &str) -> Registries {
        std::fs::create_dir_all(self.home.path().join(".docker")).unwrap();
        let config = format!(r#"{{"auths": {{"{}": {auth}}}}}"#, self.host());
        std::fs::write(self.home.path().join(".docker/config.json"), config).unwrap();
        let env = Env::of([("HOME", self.home.path().display().to_string())]);
        Registries::new(&env, Arc::new(Credentials::load(&env).unwrap())).unwrap()
    }
    /// A registry that wants a token for everything.
    async fn with_tokens(&self) {
        let challenge =
            format!(r#"Bearer realm="{}/token?x=1",service="fake registry",scope="a,b""#, self.server.uri());
        Mock::given(path("/v2/shop/orders/manifests/v1"))
            .and(header("authorization", "Bearer t0ken"))
            .respond_with(ResponseTemplate::new(200).insert_header("docker-content-digest", DIGEST))
            .with_priority(1)
            .mount(&self.server)
            .await;
        Mock::given(wiremock::matchers::any())
            .respond_with(ResponseTemplate::new(401).insert_header("www-authenticate", challenge))
            .with_priority(9)
            .mount(&self.server)
            .await;
    }
}

fn token() -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_string(r#"{"access_token":"t0ken"}"#)
}

#[tokio::test]
async fn a_token_is_fetched_once_with_the_login() {
    let fake = Fake::new().await;
    fake.with_tokens().await;
    Mock::given(path("/token"))
        .and(header("authorization", "Basic bGFiOnNlY3JldA=="))
        .and(query_param("service", "fake registry"))
        .and(query_param("scope", "repository:shop/orders:pull"))
        .respond_with(token())
        .expect(1)
        .mount(&fake.server)
        .await;
    let registries = fake.registries(r#"{"auth": "bGFiOnNlY3JldA=="}"#);
    for _ in 0..3 {
        assert_eq!(registries.digest(&fake.image(), "v1").await.unwrap().as_deref(), Some(DIGEST));
    }
}

#[tokio::test]
async fn an_identity_token_is_traded() {
    let fake = Fake::new().await;
    fake.with_tokens().await;
    Mock::given(method("POST"))
        .and(path("/token"))
        .and(body_string_contains("grant_type=refresh%5Ftoken"))
        .and(body_string_contains("refresh_token=s3cr3t"))
        .respond_with(token())
        .mount(&fake.server)
        .await;
    let registries = fake.registries(r#"{"identitytoken": "s3cr3t"}"#);
    assert_eq!(registries.digest(&fake.image(), "v1").await.unwrap().as_deref(), Some(DIGEST));
}

#[tokio::test]
async fn a_refused_login_is_not_told_but_what_to_do_is() {
    let fake = Fake::new().await;
    fake.with_tokens().await;
    Mock::given(path("/token")).respond_with(ResponseTemplate::new(401)).mount(&fake.server).await;
    let error =
        fake.registries(r#"{"auth": "bGFiOnNlY3JldA=="}"#).digest(&fake.image(), "v1").await.unwrap_err();
    let report = crate::error::report(&error);
    assert_eq!(report.reason, "registry-denied");
    assert!(report.hints.contains(&format!("docker login {}", fake.host())), "{report:?}");
    assert!(!format!("{report:?} {error:?}").contains("secret"), "{error:?}");
    let error = fake.registries("{}").digest(&fake.image(), "v1").await.unwrap_err();
    assert_eq!(crate::error::report(&error).reason, "login-needed");
}

#[tokio::test]
async fn a_redirect_elsewhere_takes_no_login_along() {
    let (fake, other) = (Fake::new().await, MockServer::start().await);
    Mock::given(header_exists("authorization"))
        .respond_with(ResponseTemplate::new(500))
        .with_priority(1)
        .mount(&other)
        .await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(200).set_body_string("{}"))
        .mount(&other)
        .await;
    Mock::given(header("authorization", "Basic bGFiOnNlY3JldA=="))
        .respond_with(ResponseTemplate::new(307).insert_header("location", format!("{}/blob", other.uri())))
        .with_priority(1)
        .mount(&fake.server)
        .await;
    Mock::given(wiremock::matchers::any())
        .respond_with(ResponseTemplate::new(401).insert_header("www-authenticate", "Basic realm=x"))
        .mount(&fake.server)
        .await;
    let registries = fake.registries(r#"{"auth": "bGFiOnNlY3JldA=="}"#);
    assert_eq!(registries.manifest(&fake.image(), "v1").await.unwrap().unwrap().digest, DIGEST);
}

#[tokio::test]
async fn a_wrong_digest_is_seen() {
    let fake = Fake::new().await;
    let lie = format!("sha256:{}", "0".repeat(64));
    Mock::given(method("GET"))
        .respond_with(
            ResponseTemplate::new(200)
                .insert_header("docker-content-digest", lie.as_str())
                .set_body_string("{}"),
        )
        .mount(&fake.server)
        .await;
    let error = fake.registries("{}").manifest(&fake.image(), "v1").await.unwrap_err();
    assert_eq!(crate::error::report(&error).reason, "digest-mismatch");
}

#[tokio::test]
async fn a_registry_without_digest_header_is_read_and_hashed() {
    let fake = Fake::new().await;
    Mock::given(method("HEAD")).respond_with(ResponseTemplate::new(200)).mount(&fake.server).await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(200).set_body_string("{}"))
        .mount(&fake.server)
        .await;
    assert_eq!(fake.registries("{}").digest(&fake.image(), "v1").await.unwrap().as_deref(), Some(DIGEST));
}

#[tokio::test]
async fn push_rights_are_probed_and_the_upload_cancelled() {
    let fake = Fake::new().await;
    Mock::given(method("POST"))
        .and(path("/v2/shop/orders/blobs/uploads/"))
        .respond_with(
            ResponseTemplate::new(202).insert_header("location", "/v2/shop/orders/blobs/uploads/1?state=x"),
        )
        .expect(1)
        .mount(&fake.server)
        .await;
    Mock::given(method("DELETE"))
        .and(path("/v2/shop/orders/blobs/uploads/1"))
        .and(query_param("state", "x"))
        .respond_with(ResponseTemplate::new(204))
        .expect(1)
        .mount(&fake.server)
        .await;
    fake.registries("{}").may_push(&fake.image()).await.unwrap();
}

#[tokio::test]
async fn before_a_push_what_is_hidden_does_not_exist() {
    let fake = Fake::new().await;
    fake.with_tokens().await;
    Mock::given(path("/token")).respond_with(ResponseTemplate::new(403)).mount(&fake.server).await;
    let registries = fake.registries(r#"{"auth": "bGFiOnNlY3JldA=="}"#);
    assert_eq!(registries.digest_if_any(&fake.image(), "v1").await.unwrap(), None);
    let report = crate::error::report(&registries.may_push(&fake.image()).await.unwrap_err());
    assert_eq!(report.reason, "registry-denied");
}

#[tokio::test]
async fn a_registry_that_makes_no_repositories_says_so_before_the_build() {
    let fake = Fake::new().await;
    let report = crate::error::report(&fake.registries("{}").may_push(&fake.image()).await.unwrap_err());
    assert_eq!((report.reason.as_str(), report.code), ("no-repository", 1));
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    drop(listener);
    let env = Env::of([("HOME", "/nonexistent".to_owned())]);
    let registries = Registries::new(&env, Arc::new(Credentials::load(&env).unwrap())).unwrap();
    let image = Reference::parse(&format!("{host}/orders")).unwrap();
    let report = crate::error::report(&registries.digest(&image, "v1").await.unwrap_err());
    assert_eq!(
        (report.reason.as_str(), report.code, report.object.as_deref()),
        ("registry-unreachable", 1, Some(host.as_str()))
    );
}

#[test]
fn challenges_are_read() {
    let parsed =
        Challenge::parse(r#"Bearer realm="https://a/t",service="s, t",scope=repository:x:pull"#).unwrap();
    assert_eq!(parsed.scheme, "bearer");
    assert_eq!(parsed.parameters["realm"], "https://a/t");
    assert_eq!(parsed.parameters["service"], "s, t");
    assert_eq!(parsed.parameters["scope"], "repository:x:pull");
    assert_eq!(Challenge::parse("Basic").unwrap().scheme, "basic");
    assert!(Challenge::parse(r#"Basic realm="open"#).is_none());
}
