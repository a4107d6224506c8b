//! Calls of Session History: deadlines, retries, streams, reasons of errors.

use std::error::Error;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt;

use crate::credentials::Bearer;
use crate::pb::session_history_service_client::SessionHistoryServiceClient;
use crate::pb::{AppendMessageStreamRequest, AppendMessageStreamResponse};

/// How long a call may take, with all its retries.
const DEADLINE: Duration = Duration::from_secs(5);
/// A streamed message may take as long as its model.
const STREAM_DEADLINE: Duration = Duration::from_secs(300);

const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

pub type Client = SessionHistoryServiceClient<InterceptedService<Channel, Bearer>>;

/// Returns a client for many tasks: its clones share a connection, which the first call opens.
pub fn connect(address: &str) -> Result<Client, Box<dyn Error>> {
    let key = Bearer::of_environment(address)?;
    // For TLS: https, and `tls_config`, with a `tls-` feature of tonic.
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?.connect_timeout(DEADLINE);
    let channel = endpoint.connect_lazy();
    Ok(SessionHistoryServiceClient::with_interceptor(channel, key))
}

/// Makes a call, and repeats it while the service asks for a retry. tonic itself retries nothing.
pub async fn call<I: Clone, O>(
    request: I,
    method: impl AsyncFn(Request<I>) -> Result<Response<O>, Status>,
) -> Result<O, Status> {
    let mut attempts = Attempts::within(DEADLINE);
    loop {
        match method(attempts.request(request.clone())).await {
            Ok(response) => return Ok(response.into_inner()),
            Err(status) => attempts.wait_after(status).await?,
        }
    }
}

/// Stores a message while its pieces arrive: a header, deltas, a finish. If the pieces end without a
/// finish, the stream breaks, and the service keeps the part that has arrived.
///
/// If the connection is lost meanwhile, collects the remaining pieces and sends all of them again.
/// Because of the message id in the header, the message is stored once.
pub async fn append_stream(
    client: &Client,
    pieces: impl Stream<Item = AppendMessageStreamRequest>,
) -> Result<AppendMessageStreamResponse, Status> {
    let mut attempts = Attempts::within(STREAM_DEADLINE);
    let mut client = client.clone();
    let mut sent = Vec::new();
    let (sender, receiver) = mpsc::channel(1);
    let storing = client.append_message_stream(attempts.request(ReceiverStream::new(receiver)));
    let sending = async {
        tokio::pin!(pieces);
        while let Some(piece) = pieces.next().await {
            sent.push(piece.clone());
            let _ = sender.send(piece).await; // if it fails, the response says why
        }
        drop(sender);
    };
    let (mut outcome, ()) = tokio::join!(storing, sending);
    loop {
        match outcome {
            Ok(response) => return Ok(response.into_inner()),
            Err(status) => attempts.wait_after(status).await?,
        }
        let again = attempts.request(tokio_stream::iter(sent.clone()));
        outcome = client.append_message_stream(again).await;
    }
}

/// The attempts of one call, which share its deadline.
struct Attempts {
    end: Instant,
    wait: Duration,
}

impl Attempts {
    fn within(limit: Duration) -> Self {
        Self {
            end: Instant::now() + limit,
            wait: FIRST_WAIT,
        }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.end.saturating_duration_since(Instant::now()));
        request
    }

    /// Waits before the next attempt, as long as the service asks for; or returns the error.
    async fn wait_after(&mut self, status: Status) -> Result<(), Status> {
        let asked = status
            .get_details_retry_info()
            .and_then(|info| info.retry_delay);
        let wait = self.wait.max(asked.unwrap_or_default());
        let retryable = asked.is_some() || status.code() == Code::Unavailable;
        if !retryable || Instant::now() + wait >= self.end {
            return Err(status);
        }
        sleep(wait).await;
        self.wait = (2 * self.wait).min(LONGEST_WAIT);
        Ok(())
    }
}

/// Names an error's code and, if the service itself refused the call, its reason.
pub fn describe(status: &Status) -> String {
    match status.get_details_error_info() {
        Some(info) => format!("{:?}, {}", status.code(), info.reason),
        None => format!("{:?}", status.code()),
    }
}
