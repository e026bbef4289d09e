//! Servers behind TLS: who is trusted that was named, and nobody else, by destinations, databases and webhooks alike.
//!
//! `tls/` has the certificate of an authority whose key nobody has, and a server's that it has signed, for 127.0.0.1.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod shared;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use shared::shop::Shop;
use shared::{Run, workspace};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What the chat answers with, whatever it is told.
const WELL: &[u8] = b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

fn certificate(name: &str) -> PathBuf {
    workspace().join("crates/cli/tests/tls").join(name)
}

fn acceptor() -> TlsAcceptor {
    let chain = CertificateDer::from_pem_file(certificate("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(certificate("server.key")).unwrap();
    let config = ServerConfig::builder().with_no_client_auth();
    TlsAcceptor::from(Arc::new(config.with_single_cert(vec![chain], key).unwrap()))
}

/// Servers behind TLS, for as long as this is.
struct Fronts {
    runtime: Runtime,
}

impl Fronts {
    fn new() -> Self {
        Fronts {
            runtime: Runtime::new().unwrap(),
        }
    }

    /// What is asked over TLS is passed on to `upstream`; without one, it is a chat.
    fn before(&self, upstream: Option<SocketAddr>) -> SocketAddr {
        let listener = self
            .runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = acceptor();
        self.runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // Who trusts nobody breaks off.
                    let Ok(mut client) = acceptor.accept(client).await else {
                        return;
                    };
                    match upstream {
                        Some(upstream) => {
                            let mut server = TcpStream::connect(upstream).await.unwrap();
                            let _ = copy_bidirectional(&mut client, &mut server).await;
                        }
                        None => {
                            let _ = client.read(&mut [0; 4096]).await;
                            let _ = client.write_all(WELL).await;
                            let _ = client.shutdown().await;
                        }
                    }
                });
            }
        });
        address
    }
}

struct Case {
    shop: Shop,
    server: SocketAddr,
    _fronts: Fronts,
}

impl Case {
    /// A shop and a bucket for its copies, and a chat that is told, all of them behind TLS.
    fn new() -> Self {
        let shop = Shop::open();
        shop.bucket("copies");
        let fronts = Fronts::new();
        let server = fronts.before(Some(shop.address()));
        let chat = fronts.before(None);
        let database = shop.database("shop");
        let plain = format!("http://{}", shop.address());
        let there = |url: &str| {
            let url = url.replace("http://", "https://");
            url.replace(&shop.address().to_string(), &server.to_string())
        };
        assert!(shop.endpoint().starts_with(&plain));
        let configuration = format!(
            "[source]\nconnection = \"{}\"\n[destinations.far]\nurl = \"{}\"\n\
             [destinations.near]\npath = \"near\"\nrequired = false\n\
             [hooks.chat]\nurl = \"https://{chat}/\"\n",
            there(&database),
            there(&shop.database("copies")).replace("?forcePathStyle=true", "/all"),
        );
        shop.scratch.write("c.toml", configuration);
        Case {
            shop,
            server,
            _fronts: fronts,
        }
    }

    #[track_caller]
    fn run(&self, code: i32, trusted: Option<&str>, arguments: &[&str]) -> Run {
        let mut command = self.shop.scratch.command(arguments);
        command
            .env_remove("SSL_CERT_FILE")
            .env_remove("SSL_CERT_DIR");
        if let Some(name) = trusted {
            command.env("SSL_CERT_FILE", certificate(name));
        }
        Run::of(code, command.output().unwrap(), &format!("{arguments:?}"))
    }
}

#[test]
fn an_authority_of_ones_own_is_trusted_everywhere() {
    let case = Case::new();
    let trusted = Some("authority.pem");
    let made = case.run(0, trusted, &["backup", "--config", "c.toml", "--json"]);
    let report = made.json();
    assert!(report["recordCount"].as_u64().unwrap() >= 120, "{report}");
    assert_eq!(report["hookFailures"], serde_json::json!([]), "{report}");
    case.run(0, trusted, &["verify", "--config", "c.toml"]);
    let target = [
        "restore", "latest", "--config", "c.toml", "--target", "./out",
    ];
    case.run(0, trusted, &target);
}

#[test]
fn who_is_trusted_by_nobody_is_sent_nothing() {
    let case = Case::new();
    let before = case.shop.requests();
    let far = format!("far=https://shop:shop-secret@{}/copies/all", case.server);
    let database = case.shop.database("shop").replace("http://", "https://");
    let plain = case.shop.address().to_string();
    let database = database.replace(&plain, &case.server.to_string());
    case.shop.scratch.write("in.jsonl", "{}\n");
    for arguments in [
        &["list", "--at", &far][..],
        &["backup", "--from", "in.jsonl", "--to", &far],
        &["backup", "--connection", &database, "--to", "a"],
    ] {
        let run = case.run(1, None, arguments);
        assert!(run.stderr.contains("certificate"), "{}", run.stderr);
        assert!(run.stderr.contains("SSL_CERT_FILE"), "{}", run.stderr);
    }
    assert_eq!(case.shop.requests(), before);

    let hooked = "[hooks.chat]\nurl = \"https://";
    let scratch = &case.shop.scratch;
    let configuration = String::from_utf8(scratch.read("c.toml")).unwrap();
    let (_, chat) = configuration.split_once(hooked).unwrap();
    let quiet =
        format!("[source]\npath = \"in.jsonl\"\n[destinations.a]\npath = \"b\"\n{hooked}{chat}");
    scratch.write("quiet.toml", quiet);
    let run = case.run(0, None, &["backup", "--config", "quiet.toml", "--json"]);
    let failure = run.json()["hookFailures"][0]["error"]["message"].to_string();
    assert!(failure.contains("certificate"), "{failure}");
}
