//! Signatures, accounts and links as clients see them. The scenarios are in
//! `credentials_suite.py`; every one runs against a cloud of its own that requires
//! signatures.

use crate::common::{TestCloud, config, folder_of, scenarios};
use layercake_local::{Access, AccessKey, Signatures, StartError};

fn key(id: &str, secret: &str, account: &str, user: Option<&str>) -> AccessKey {
    AccessKey {
        id: id.to_owned(),
        secret: secret.to_owned(),
        account: account.parse().expect("an account"),
        user: user.map(str::to_owned),
    }
}

fn access() -> Access {
    Access {
        signatures: Signatures::Required,
        credentials: vec![
            key("AKIAONE", "secret/one+1", "111111111111", None),
            key("AKIATWO", "secret/two", "222222222222", Some("ann")),
        ],
        ..Access::default()
    }
}

pub(crate) async fn guarded() -> TestCloud {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = config(&folder_of(&folder));
    config.access = access();
    TestCloud { handle: layercake_local::start(config).await.expect("a local cloud"), folder }
}

scenarios!("credentials_suite.py" in guarded();
    every_service_takes_its_own_keys,
    nobody_else_gets_in,
    wrong_signatures,
    wrong_times,
    presigned_links,
    chunked_uploads,
    large_requests,
    accounts_are_kept_apart,
    temporary_credentials,
    locations,
);

#[tokio::test]
async fn a_cloud_that_would_be_open_does_not_start() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = config(&folder_of(&folder));
    config.listen = "0.0.0.0:0".parse().expect("an address");
    let error = layercake_local::start(config.clone()).await.expect_err("it is open to everybody");
    assert!(matches!(error, StartError::Access(_)), "{error:?}");
    config.access.signatures = Signatures::Required;
    let error = layercake_local::start(config).await.expect_err("nobody could use it");
    assert!(matches!(error, StartError::Access(_)), "{error:?}");
}
