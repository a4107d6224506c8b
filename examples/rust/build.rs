//! Makes the client of `../../protos`. protox reads them; no protoc has to be installed.

use std::error::Error;

const PROTOS: &str = "../../protos";
const SERVICE: &str = "sessionhistory/v1/session_history_service.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={PROTOS}");
    let files = protox::compile([SERVICE], [PROTOS])?;
    tonic_prost_build::configure()
        .build_server(false)
        .compile_fds(files)?;
    Ok(())
}
