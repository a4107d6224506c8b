//! An answer that is stored while a model generates it.

use tokio_stream::{Stream, StreamExt};
use tonic::Status;
use uuid::Uuid;

use crate::client::append_stream;
use crate::pb::append_message_stream_request::Piece;
use crate::pb::{
    AppendMessageStreamDelta, AppendMessageStreamFinish, AppendMessageStreamHeader,
    AppendMessageStreamRequest, Message, Role, Usage,
};
use crate::{Trip, message};

/// A piece of a model's output: text, and at the end the finish reason and the usage.
enum Chunk {
    Text(&'static str),
    End {
        finish_reason: &'static str,
        output_tokens: i32,
    },
}

/// Stands for a model that breaks off.
fn broken() -> Vec<Chunk> {
    vec![Chunk::Text("Light clothes"), Chunk::Text(" and")]
}

/// Stands for a model that finishes.
fn whole() -> Vec<Chunk> {
    let end = Chunk::End {
        finish_reason: "stop",
        output_tokens: 6,
    };
    broken()
        .into_iter()
        .chain([Chunk::Text(" a hat."), end])
        .collect()
}

impl Trip {
    /// Stores an answer while the model generates it. If the model breaks off, the service keeps the
    /// part as INTERRUPTED. The next answer has the same message id, and replaces it.
    pub async fn reply(&self) -> Result<(), Status> {
        self.append(message(Role::User, "What do I pack?")).await?;
        let header = AppendMessageStreamHeader {
            session_id: self.session_id.clone(),
            message: Some(Message {
                message_id: Uuid::new_v4().to_string(),
                role: Role::Assistant.into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        for chunks in [broken(), whole()] {
            let answer = pieces(header.clone(), tokio_stream::iter(chunks));
            let stored = append_stream(&self.history, answer)
                .await?
                .message
                .unwrap_or_default();
            let state = stored
                .status()
                .as_str_name()
                .trim_start_matches("MESSAGE_STATUS_");
            println!(
                "streamed message {}, {state}: {}",
                stored.sequence,
                stored.content.unwrap_or_default()
            );
        }
        Ok(())
    }
}

/// Makes the pieces of a message from the chunks of a model.
fn pieces(
    header: AppendMessageStreamHeader,
    chunks: impl Stream<Item = Chunk>,
) -> impl Stream<Item = AppendMessageStreamRequest> {
    tokio_stream::once(Piece::Header(header))
        .chain(chunks.map(piece))
        .map(|piece| AppendMessageStreamRequest { piece: Some(piece) })
}

fn piece(chunk: Chunk) -> Piece {
    match chunk {
        Chunk::Text(text) => Piece::Delta(AppendMessageStreamDelta {
            text: Some(text.into()),
            ..Default::default()
        }),
        Chunk::End {
            finish_reason,
            output_tokens,
        } => Piece::Finish(AppendMessageStreamFinish {
            finish_reason: finish_reason.into(),
            usage: Some(Usage {
                output_tokens: Some(output_tokens),
                ..Default::default()
            }),
            ..Default::default()
        }),
    }
}
