//! The key of each call, as the environment says.

use std::env;
use std::fs;
use std::net::ToSocketAddrs;

use tonic::service::Interceptor;
use tonic::{Request, Status};

/// Sends a key with each call.
#[derive(Clone)]
pub enum Bearer {
    /// Sends none.
    Nothing,
    /// An API key.
    Key(String),
    /// The token in a file that another program renews.
    File(String),
}

impl Bearer {
    /// Returns the key that the environment names. This program has no TLS, so the key is for this machine
    /// only.
    pub fn of_environment(address: &str) -> Result<Self, String> {
        let variable = |name| env::var(name).ok().filter(|text| !text.is_empty());
        let key = variable("SESSION_HISTORY_API_KEY").map(Self::Key);
        let file = || variable("SESSION_HISTORY_API_KEY_FILE").map(Self::File);
        match key.or_else(file) {
            None => Ok(Self::Nothing),
            Some(key) if is_loopback(address) => Ok(key),
            Some(_) => Err(format!("the key would be sent in plain text to {address}")),
        }
    }
}

impl Interceptor for Bearer {
    /// Reads the file again for each attempt.
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let key = match self {
            Self::Nothing => return Ok(request),
            Self::Key(key) => key.clone(),
            Self::File(file) => fs::read_to_string(&*file)
                .map_err(|error| Status::unauthenticated(format!("{file}: {error}")))?,
        };
        let header = format!("Bearer {}", key.trim())
            .parse()
            .map_err(|_| Status::unauthenticated("the key cannot be a header"))?;
        request.metadata_mut().insert("authorization", header);
        Ok(request)
    }
}

fn is_loopback(address: &str) -> bool {
    address
        .to_socket_addrs()
        .is_ok_and(|mut found| found.all(|each| each.ip().is_loopback()))
}
