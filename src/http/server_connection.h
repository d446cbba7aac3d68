// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <utility>
// Boost 1.74 needs <utility> before it.
#include <boost/asio.hpp>
#include <boost/beast.hpp>

#include "http/server.h"

namespace swarmfs::http {

/// One connection of a Server, on a thread of its own with an io_context of its own, so that
/// beast's timeouts work without sharing anything.
class ServerConnection final : public BodyWriter {
 public:
  using Protocol = boost::asio::generic::stream_protocol;
  using Socket = Protocol::socket;

  ServerConnection(const ServerOptions& options, const Server::Handler& handler,
                   boost::asio::io_context& context, Socket socket);

  /// Until the client goes, or is to go.
  void serve();
  bool write(util::ByteView bytes) override;

 private:
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;
  using Message = Parser::value_type;
  using Head = boost::beast::http::response<boost::beast::http::empty_body>;

  bool serve_one();
  bool read_some();
  /// With its empty line, or more than options allow; empty: the client is gone, or took too long.
  std::optional<std::string_view> read_head();
  bool refuse(int status, const std::string& why);
  ServerResponse answer(const Message& message);
  bool respond(const Message& message, const ServerResponse& made);
  bool send_head(Head head, std::chrono::seconds timeout);
  bool send(util::ByteView bytes, std::chrono::seconds timeout);
  void end_politely();
  bool step(const boost::system::error_code& error);

  const ServerOptions& options_;
  const Server::Handler& handler_;
  boost::asio::io_context& context_;
  boost::beast::basic_stream<Protocol> stream_;
  boost::beast::flat_buffer buffer_;
  std::string client_;  ///< as ServerRequest::client
  uint64_t left_ = 0;   ///< of the stream at hand
};

}  // namespace swarmfs::http
