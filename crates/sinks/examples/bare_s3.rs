//! The least that a client can do with the objects of a bucket: read them, and write them to another. What `benches/s3db.sh`
//! measures a backup and a restore against.
//!
//! usage: bare_s3 CALLS get URL | bare_s3 CALLS put URL TO-URL
//!
//! with so many calls at once, and URLs such as http://KEY:SECRET@127.0.0.1:9000/bucket. Prints the number of objects and the
//! seconds that reading (or writing) them took, without listing them (or reading them).

use std::sync::Arc;
use std::time::Instant;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{Attributes, ObjectStore, ObjectStoreExt, PutOptions, PutPayload};

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (count, seconds) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [calls, "get", url] => get(calls.parse()?, &open(url)?).await?,
        [calls, "put", url, to] => put(calls.parse()?, &open(url)?, &open(to)?).await?,
        _ => return Err("usage: bare_s3 CALLS get URL | bare_s3 CALLS put URL TO-URL".into()),
    };
    #[expect(clippy::print_stdout, reason = "a command's result")]
    {
        println!("{count} {seconds:.3}");
    }
    Ok(())
}

fn open(url: &str) -> Result<Arc<AmazonS3>, Error> {
    let (scheme, rest) = url.split_once("://").ok_or("no scheme")?;
    let (keys, place) = rest.split_once('@').ok_or("no keys")?;
    let (id, secret) = keys.split_once(':').ok_or("no secret")?;
    let (host, bucket) = place.split_once('/').ok_or("no bucket")?;
    let store = AmazonS3Builder::new()
        .with_endpoint(format!("{scheme}://{host}"))
        .with_allow_http(scheme == "http")
        .with_region("us-east-1")
        .with_access_key_id(id)
        .with_secret_access_key(secret)
        .with_bucket_name(bucket)
        .build()?;
    Ok(Arc::new(store))
}

async fn keys(store: &AmazonS3) -> Result<Vec<Path>, Error> {
    let keys = store.list(None).map_ok(|meta| meta.location);
    Ok(keys.try_collect().await?)
}

async fn get(calls: usize, store: &Arc<AmazonS3>) -> Result<(usize, f64), Error> {
    let keys = keys(store).await?;
    let (count, begun) = (keys.len(), Instant::now());
    let reads = stream::iter(keys).map(|key| {
        let store = Arc::clone(store);
        tokio::spawn(async move { store.get(&key).await?.bytes().await })
    });
    let mut reads = reads.buffer_unordered(calls);
    while let Some(read) = reads.next().await {
        read??;
    }
    Ok((count, begun.elapsed().as_secs_f64()))
}

async fn put(
    calls: usize,
    from: &Arc<AmazonS3>,
    to: &Arc<AmazonS3>,
) -> Result<(usize, f64), Error> {
    let objects = stream::iter(keys(from).await?).map(|key| async move {
        let got = from.get(&key).await?;
        let attributes: Attributes = got.attributes.clone();
        Ok::<_, object_store::Error>((key, attributes, got.bytes().await?))
    });
    let objects: Vec<_> = objects.buffer_unordered(calls).try_collect().await?;
    let (count, begun) = (objects.len(), Instant::now());
    let writes = stream::iter(objects).map(|(key, attributes, bytes)| {
        let to = Arc::clone(to);
        tokio::spawn(async move {
            let options = PutOptions::from(attributes);
            to.put_opts(&key, PutPayload::from(bytes), options).await
        })
    });
    let mut writes = writes.buffer_unordered(calls);
    while let Some(written) = writes.next().await {
        written??;
    }
    Ok((count, begun.elapsed().as_secs_f64()))
}
