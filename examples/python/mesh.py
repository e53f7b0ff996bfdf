"""A way to the services of a mesh, by the certificate in a folder."""

import json
import pathlib

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


def channel(service, identity, home="mp169-data"):
    """A channel to a service, with the certificate that is named `identity` in the folder `home`."""
    home = pathlib.Path(home)
    address = json.loads((home / "addresses.json").read_text())[service]
    certificates = home / "certificates"
    credentials = grpc.ssl_channel_credentials(
        root_certificates=(home / "authority" / "ca.crt.pem").read_bytes(),
        private_key=(certificates / f"{identity}.key.pem").read_bytes(),
        certificate_chain=(certificates / f"{identity}.crt.pem").read_bytes(),
    )
    options = [
        # A service's certificate carries the service's name, whatever its address.
        ("grpc.ssl_target_name_override", service),
        # So that a connection that was cut without a word is noticed.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
    ]
    return grpc.secure_channel(address, credentials, options)


def reason(error):
    """Why a call was refused, by the names of `ErrorReason`; empty if the mesh did not say so."""
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return info.reason
    return ""
