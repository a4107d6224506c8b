//! Keeps a conversation about a trip in Session History.

mod client;
mod credentials;
mod pb {
    tonic::include_proto!("sessionhistory.v1");
}
mod reply;

use std::collections::HashMap;
use std::process::ExitCode;

use tonic::{Code, Status};
use uuid::Uuid;

use client::{Client, call, describe};
use pb::{
    AppendMessageRequest, AppendMessagesRequest, CreateSessionRequest, DeleteSessionRequest,
    GetHistoryRequest, History, HistoryOptions, ListMessagesRequest, Message, Role, SessionFields,
    ToolCall,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:50051".into());
    let history = match client::connect(&address) {
        Ok(history) => history,
        Err(error) => {
            eprintln!("{address}: {error}");
            return ExitCode::FAILURE;
        }
    };
    let trip = Trip {
        history,
        session_id: format!("example-{}", Uuid::new_v4()),
    };
    match trip.run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(status) => {
            eprintln!("{}: {}", describe(&status), status.message());
            ExitCode::FAILURE
        }
    }
}

struct Trip {
    history: Client,
    session_id: String,
}

impl Trip {
    async fn run(&self) -> Result<(), Status> {
        self.create().await?;
        self.ask().await?;
        self.answer().await?;
        self.look().await?;
        self.list().await?;
        self.reply().await?;
        self.intrude().await?;
        self.delete().await
    }

    async fn create(&self) -> Result<(), Status> {
        let request = CreateSessionRequest {
            session_id: self.session_id.clone(),
            user_id: "ada".into(),
            session: Some(SessionFields {
                labels: HashMap::from([("app".into(), "travel".into())]),
                ..Default::default()
            }),
            allow_existing: true, // a retry finds the session that the first attempt has made
        };
        call(request, async |request| {
            self.history.clone().create_session(request).await
        })
        .await?;
        println!("created session {}", self.session_id);

        let system = Message {
            pinned: true,
            ..message(Role::System, "You plan trips.")
        };
        self.append(system).await
    }

    async fn append(&self, message: Message) -> Result<(), Status> {
        let request = AppendMessageRequest {
            session_id: self.session_id.clone(),
            message: Some(message),
            ..Default::default()
        };
        call(request, async |request| {
            self.history.clone().append_message(request).await
        })
        .await?;
        Ok(())
    }

    /// Stores a question and gets the context for the model in the same round trip.
    async fn ask(&self) -> Result<(), Status> {
        let request = AppendMessageRequest {
            session_id: self.session_id.clone(),
            message: Some(message(Role::User, "What is the weather in Rome?")),
            history: Some(HistoryOptions {
                max_messages: Some(20),
                token_budget: Some(4000),
                ..Default::default()
            }),
            ..Default::default()
        };
        let stored = call(request, async |request| {
            self.history.clone().append_message(request).await
        })
        .await?;
        let window = stored.history.unwrap_or_default();
        println!(
            "stored message {}, the context has {} messages, {} tokens:",
            stored.message.unwrap_or_default().sequence,
            window.messages.len(),
            window.total_tokens
        );
        show(&window);
        Ok(())
    }

    /// Stores a tool call, its result and the answer: all or nothing.
    async fn answer(&self) -> Result<(), Status> {
        let weather = ToolCall {
            id: "c1".into(),
            name: "weather".into(),
            arguments: r#"{"city":"Rome"}"#.into(),
        };
        let messages = vec![
            Message {
                content: None,
                tool_calls: vec![weather],
                ..message(Role::Assistant, "")
            },
            Message {
                tool_call_id: "c1".into(),
                ..message(Role::Tool, "24 degrees, sunny")
            },
            message(Role::Assistant, "Sunny, 24 degrees."),
        ];
        let request = AppendMessagesRequest {
            session_id: self.session_id.clone(),
            messages,
            ..Default::default()
        };
        let stored = call(request, async |request| {
            self.history.clone().append_messages(request).await
        })
        .await?;
        if let [first, .., last] = stored.messages.as_slice() {
            println!("stored messages {} to {}", first.sequence, last.sequence);
        }
        Ok(())
    }

    async fn look(&self) -> Result<(), Status> {
        let window = self.window("ada").await?;
        println!(
            "the newest that fit 4 messages, {} left out:",
            window.omitted_message_count
        );
        show(&window);
        Ok(())
    }

    async fn window(&self, user_id: &str) -> Result<History, Status> {
        let request = GetHistoryRequest {
            session_id: self.session_id.clone(),
            user_id: user_id.into(),
            max_messages: Some(4),
            ..Default::default()
        };
        let response = call(request, async |request| {
            self.history.clone().get_history(request).await
        })
        .await?;
        Ok(response.history.unwrap_or_default())
    }

    async fn list(&self) -> Result<(), Status> {
        let (mut messages, mut pages) = (0, 0);
        let mut request = ListMessagesRequest {
            session_id: self.session_id.clone(),
            page_size: 2,
            ..Default::default()
        };
        loop {
            let page = call(request.clone(), async |request| {
                self.history.clone().list_messages(request).await
            })
            .await?;
            messages += page.messages.len();
            pages += 1;
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        println!("listed {messages} messages in {pages} pages");
        Ok(())
    }

    /// Asks for the session as another user, for whom it does not exist.
    async fn intrude(&self) -> Result<(), Status> {
        match self.window("eve").await {
            Err(status) if status.code() == Code::NotFound => {
                println!("as another user: {}", describe(&status));
                Ok(())
            }
            Err(status) => Err(status),
            Ok(_) => Err(Status::internal("another user may read the session")),
        }
    }

    async fn delete(&self) -> Result<(), Status> {
        let request = DeleteSessionRequest {
            session_id: self.session_id.clone(),
            allow_missing: true, // a retry finds nothing if the first attempt has deleted it
            ..Default::default()
        };
        call(request, async |request| {
            self.history.clone().delete_session(request).await
        })
        .await?;
        println!("deleted");
        Ok(())
    }
}

/// Makes the id before the call. So the call is safe to retry: if the first attempt has stored the
/// message, the service returns it and stores nothing.
fn message(role: Role, content: &str) -> Message {
    Message {
        message_id: Uuid::new_v4().to_string(),
        role: role.into(),
        content: Some(content.into()),
        ..Default::default()
    }
}

fn show(window: &History) {
    for message in &window.messages {
        let role = message.role().as_str_name().trim_start_matches("ROLE_");
        println!("  {} {role}: {}", message.sequence, text(message));
    }
}

fn text(message: &Message) -> String {
    let calls = message
        .tool_calls
        .iter()
        .map(|call| format!("{}({})", call.name, call.arguments));
    match &message.content {
        Some(content) => content.clone(),
        None => format!("calls {}", calls.collect::<Vec<_>>().join(", ")),
    }
}
