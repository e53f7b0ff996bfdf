//! Compiles the contract of health without protoc.

use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo sets CARGO_MANIFEST_DIR")?;
    let root = Path::new(&here).join("proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut compiler = protox::Compiler::new([&root])?;
    compiler
        .include_source_info(true)
        .include_imports(true)
        .open_file("grpc/health/v1/health.proto")?;
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let set = compiler.encode_file_descriptor_set();
    std::fs::write(out.join("health_descriptor_set.bin"), set)?;
    // The codec asks a message for its name.
    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    tonic_prost_build::configure()
        .codec_path("mesh_api::codec::Protobuf")
        .compile_fds_with_config(compiler.file_descriptor_set(), config)?;
    Ok(())
}
