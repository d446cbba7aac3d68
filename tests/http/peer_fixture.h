// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <gtest/gtest.h>
#include <malloc.h>

#include <atomic>
#include <csignal>
#include <future>
#include <memory>
#include <string>

#include "http/peer_server.h"
#include "support/certificates.h"
#include "support/tls_client.h"

namespace swarmfs::http {

/// A cluster with one CA, its server, and clients that are members.
class PeerTest : public testing::Test {
 protected:
  using TlsClient = support::TlsClient;
  static constexpr const char* kGet = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

  static void SetUpTestSuite() { std::signal(SIGPIPE, SIG_IGN); }

  static util::SharedBytes bytes(const std::string& text) {
    const auto view = util::as_bytes(text);
    return util::SharedBytes::of(util::Bytes(view.begin(), view.end()));
  }
  static TlsMaterial material(const support::Certificate& certificate,
                              const support::Authority& ca) {
    return {certificate.certificate_pem, certificate.key_pem, ca.pem()};
  }
  void serve(PeerServer::Handler handler, PeerServerOptions options = {}) {
    options.addresses = {"127.0.0.1:0"};
    server_ =
        std::make_unique<PeerServer>(options, material(ca_.issue("server node"), ca_),
                                     [this, handler = std::move(handler)](
                                         const PeerRequest& request, PeerServer::Respond respond) {
                                       ++handled_;
                                       handler(request, std::move(respond));
                                     });
  }
  /// Answers "<method> <path>" to everything.
  static void echo(const PeerRequest& request, const PeerServer::Respond& respond) {
    respond({200, {}, {bytes(request.method + " " + request.path)}});
  }
  /// A member, hands shaken.
  std::unique_ptr<TlsClient> member(int receive_buffer = 0) {
    TlsClient::Options options;
    options.certificate = member_;
    options.receive_buffer = receive_buffer;
    auto client = std::make_unique<TlsClient>(server_->port(), options);
    EXPECT_TRUE(client->shake_hands());
    return client;
  }
  /// A member is still served, and soon.
  void expect_service() {
    const auto client = member();
    ASSERT_TRUE(client->say(kGet));
    EXPECT_TRUE(client->hear_answer().starts_with("HTTP/1.1 200 OK\r\n"));
  }

  support::Authority ca_{"cluster"};
  support::Certificate member_ = ca_.issue("client node");
  std::atomic<int> handled_{0};
  std::unique_ptr<PeerServer> server_;
};

}  // namespace swarmfs::http
