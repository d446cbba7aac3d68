// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "http/server_connection.h"

#include <algorithm>
#include <cstring>

#include "http/endpoint_name.h"
#include "http/url.h"
#include "util/log.h"

namespace swarmfs::http {

namespace asio = boost::asio;
namespace beast = boost::beast;
using Code = boost::system::error_code;

namespace {

/// A piece of this size is what a client must take within the stream's timeout.
constexpr size_t kSendPiece = 256 * 1024;
/// How long a client may go on talking after we have said our last word.
constexpr std::chrono::seconds kFarewell{5};
/// Of a header's value; Beast throws at 64 KiB.
constexpr size_t kLongestValue = 32 * 1024;

/// Values may come from other registries and their documents: one must not end its header.
bool is_one_line(std::string_view value) {
  return value.size() <= kLongestValue &&
         value.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos;
}

std::string client_of(const ServerConnection::Socket& socket) {
  boost::system::error_code error;
  const auto peer = socket.remote_endpoint(error);
  const int family = peer.protocol().family();
  if (error || (family != AF_INET && family != AF_INET6)) return "";
  asio::ip::tcp::endpoint address;
  std::memcpy(address.data(), peer.data(), peer.size());
  return name_of(address);
}

std::optional<ServerRequest> decode_request(
    const beast::http::request<beast::http::string_body>& message) {
  auto target = Target::parse({message.target().data(), message.target().size()});
  if (!target) return std::nullopt;
  ServerRequest made{std::string(message.method_string()), std::move(target->path),
                     std::move(target->query), message.body()};
  for (const auto& field : message)
    made.headers.emplace_back(std::string(field.name_string()), std::string(field.value()));
  return made;
}

/// A header line that goes on in the next (obs-fold), or that ends in other ways than others think.
bool is_ambiguous(std::string_view head) {
  if (head.find("\r\n ") != head.npos || head.find("\r\n\t") != head.npos) return true;
  for (size_t i = 0; i < head.size(); ++i) {
    if (head[i] == '\n' && (i == 0 || head[i - 1] != '\r')) return true;
    if (head[i] == '\r' && (i + 1 == head.size() || head[i + 1] != '\n')) return true;
    if (head[i] == '\0') return true;
  }
  return false;
}

/// One Host, one length, no coding but chunked (RFC 9112 sections 3.2, 6.1): Beast lets others
/// pass.
bool is_misleading(const beast::http::request<beast::http::string_body>& message) {
  using beast::http::field;
  const bool is_1_1 = message.version() == 11;
  if (is_1_1 && message.count(field::host) != 1) return true;
  if (message[field::content_length].find(',') != std::string_view::npos) return true;
  return message.count(field::transfer_encoding) > 0 &&
         !(is_1_1 && beast::iequals(message[field::transfer_encoding], "chunked"));
}

bool has_no_body(int status) {
  return status == 204 || status == 304;
}

}  // namespace

ServerConnection::ServerConnection(const ServerOptions& options, const Server::Handler& handler,
                                   asio::io_context& context, Socket socket)
    : options_(options),
      handler_(handler),
      context_(context),
      stream_(std::move(socket)),
      client_(client_of(stream_.socket())) {}

void ServerConnection::serve() {
  while (serve_one()) {
  }
  end_politely();
}

/// Waits for one asynchronous step, whose timeout is the stream's.
bool ServerConnection::step(const Code& error) {
  context_.restart();
  context_.run();
  return !error;
}

bool ServerConnection::read_some() {
  Code error;
  stream_.async_read_some(buffer_.prepare(4096), [&](Code result, size_t count) {
    error = result;
    buffer_.commit(count);
  });
  return step(error);
}

std::optional<std::string_view> ServerConnection::read_head() {
  stream_.expires_after(options_.idle_timeout);
  if (buffer_.size() == 0 && !read_some()) return std::nullopt;
  stream_.expires_after(options_.read_timeout);
  for (;;) {
    const std::string_view text(static_cast<const char*>(buffer_.data().data()), buffer_.size());
    const size_t end = text.find("\r\n\r\n");
    if (end != text.npos) return text.substr(0, end + 4);
    if (text.size() > options_.max_header) return text;
    if (!read_some()) return std::nullopt;
  }
}

bool ServerConnection::serve_one() {
  const auto head = read_head();
  if (!head) return false;
  if (head->size() > options_.max_header) return refuse(431, "the header is too long");
  if (is_ambiguous(*head)) return refuse(400, "the header is ambiguous");
  Parser parser;
  parser.header_limit(static_cast<uint32_t>(options_.max_header + 1024));
  parser.body_limit(options_.max_body);
  Code error;
  stream_.expires_after(options_.read_timeout);
  beast::http::async_read(stream_, buffer_, parser, [&](Code result, size_t) { error = result; });
  if (step(error)) {
    const auto& message = parser.get();
    return is_misleading(message) ? refuse(400, "the request is ambiguous")
                                  : respond(message, answer(message));
  }
  if (error == beast::http::error::body_limit) return refuse(413, "the body is too large");
  const bool malformed =
      error.category() == make_error_code(beast::http::error::bad_method).category() &&
      error != beast::http::error::partial_message && error != beast::http::error::end_of_stream;
  return malformed && refuse(400, "this is not HTTP/1.1");
}

ServerResponse ServerConnection::answer(const Message& message) {
  try {
    auto request = decode_request(message);
    if (request) {
      request->client = client_;
      return handler_(*request);
    }
    return {400, "text/plain", "not a path\n"};
  } catch (const std::exception& error) {
    util::log::error("http: {} {} fails: {}", std::string(message.method_string()),
                     std::string(message.target()), error.what());
    return {500, "text/plain", "internal error\n"};
  }
}

bool ServerConnection::refuse(int status, const std::string& why) {
  Head head(static_cast<beast::http::status>(status), 11);
  const std::string body = why + "\n";
  head.set(beast::http::field::content_type, "text/plain");
  head.content_length(body.size());
  head.keep_alive(false);
  if (send_head(std::move(head), options_.write_timeout))
    send(util::as_bytes(body), options_.write_timeout);
  return false;
}

bool ServerConnection::respond(const Message& message, const ServerResponse& made) {
  Head head(static_cast<beast::http::status>(made.status), message.version());
  head.set(beast::http::field::content_type, made.content_type);
  for (const auto& [name, value] : made.headers)
    if (is_one_line(value)) head.insert(name, value);
  const uint64_t length = made.length.value_or(made.body.size());
  if (!has_no_body(made.status)) head.content_length(length);
  head.keep_alive(message.keep_alive());
  const auto timeout = made.stream ? options_.stream_timeout : options_.write_timeout;
  if (!send_head(std::move(head), timeout)) return false;
  if (message.method() == beast::http::verb::head || has_no_body(made.status))
    return message.keep_alive();
  if (!made.stream) return send(util::as_bytes(made.body), timeout) && message.keep_alive();
  left_ = length;
  try {
    return made.stream(*this) && left_ == 0 && message.keep_alive();
  } catch (const std::exception& error) {
    util::log::error("http: {} breaks off: {}", std::string(message.target()), error.what());
    return false;
  }
}

bool ServerConnection::send_head(Head head, std::chrono::seconds timeout) {
  Code error;
  beast::http::response_serializer<beast::http::empty_body> serializer(head);
  stream_.expires_after(timeout);
  beast::http::async_write_header(stream_, serializer,
                                  [&](Code result, size_t) { error = result; });
  return step(error);
}

bool ServerConnection::send(util::ByteView bytes, std::chrono::seconds timeout) {
  while (!bytes.empty()) {
    const auto piece = bytes.first(std::min(bytes.size(), kSendPiece));
    bytes = bytes.subspan(piece.size());
    Code error;
    stream_.expires_after(timeout);
    asio::async_write(stream_, asio::buffer(piece.data(), piece.size()),
                      [&](Code result, size_t) { error = result; });
    if (!step(error)) return false;
  }
  return true;
}

bool ServerConnection::write(util::ByteView bytes) {
  bytes = bytes.first(std::min<uint64_t>(bytes.size(), left_));
  if (!send(bytes, options_.stream_timeout)) return false;
  left_ -= bytes.size();
  return true;
}

/// A socket that is closed with unread bytes resets the connection, and the client loses what it
/// was sent.
void ServerConnection::end_politely() {
  Code error;
  stream_.socket().shutdown(asio::socket_base::shutdown_send, error);
  if (error) return;
  buffer_.clear();
  stream_.expires_after(kFarewell);
  do {
    stream_.async_read_some(buffer_.prepare(16 * 1024),
                            [&](Code result, size_t) { error = result; });
  } while (step(error));
}

}  // namespace swarmfs::http
