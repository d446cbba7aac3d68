// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "http/peer_connection.h"

#include <fmt/format.h>
#include <netinet/tcp.h>

#include <boost/asio/post.hpp>
#include <cassert>

#include "http/endpoint_name.h"
#include "http/peer_loop.h"
#include "http/tcp_path.h"
#include "http/traffic_mark.h"
#include "http/url.h"
#include "util/log.h"

namespace swarmfs::http {

namespace asio = boost::asio;
namespace beast = boost::beast;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

namespace {

constexpr size_t kReadSize = 4096;
constexpr size_t kRecord = 16 * 1024;
/// Records go out one by one up to here, so that the client decrypts while we encrypt; later ones
/// are gathered into full segments, which is cheaper.
constexpr size_t kPushed = 64 * 1024;
constexpr size_t kProgress = 64 * 1024;
constexpr size_t kFewLines = 8 * 1024;
/// What one connection may write before others of its thread get their turn.
constexpr size_t kTurn = 512 * 1024;
/// Unsent bytes in the kernel: a client that does not read holds no more than that.
constexpr int kUnsent = 32 * 1024;
constexpr int kBulkUnsent = 64 * 1024;
constexpr int kWideBuffer = 1 << 20;
constexpr std::chrono::milliseconds kLinger{1'000};
constexpr int kProcessing = 102;
constexpr std::string_view kSignOfLife = "HTTP/1.1 102 Processing\r\n\r\n";
constexpr size_t kMaxDiscarded = 1 << 20;

std::string reason_of(int status) {
  return std::string(beast::http::obsolete_reason(static_cast<beast::http::status>(status)));
}

bool says_something_twice(const beast::http::fields& fields) {
  return std::any_of(fields.begin(), fields.end(),
                     [&](const auto& field) { return fields.count(field.name_string()) > 1; });
}

PeerResponse plain(int status) {
  const std::string text = reason_of(status) + "\n";
  const auto bytes = util::as_bytes(text);
  return {status,
          {{"Content-Type", "text/plain"}},
          {util::SharedBytes::of(util::Bytes(bytes.begin(), bytes.end()))}};
}

util::SharedBytes head_of(const PeerResponse& response, bool last) {
  size_t length = 0;
  for (const auto& part : response.body) length += part.size();
  std::string head = fmt::format("HTTP/1.1 {} {}\r\n", response.status, reason_of(response.status));
  for (const auto& [name, value] : response.headers) {
    assert((name + value).find_first_of("\r\n") == std::string::npos);
    head += name + ": " + value + "\r\n";
  }
  if (response.status != 204) head += fmt::format("Content-Length: {}\r\n", length);
  head += last ? "Connection: close\r\n\r\n" : "\r\n";
  const auto bytes = util::as_bytes(head);
  return util::SharedBytes::of(util::Bytes(bytes.begin(), bytes.end()));
}

}  // namespace

PeerConnection::PeerConnection(PeerLoop& loop, uint64_t id, tcp::socket socket,
                               const TlsContext& tls)
    : loop_(loop), id_(id), socket_(std::move(socket)), tls_(tls, socket_.native_handle()) {}

void PeerConnection::start() {
  error_code error;
  socket_.native_non_blocking(true, error);
  socket_.set_option(tcp::no_delay(true), error);
  mark(false);
  const auto endpoint = socket_.remote_endpoint(error);
  if (error) return close();
  remote_address_ = name_of(endpoint);
  enter(State::handshaking, loop_.options().handshake_timeout);
  proceed();
}

void PeerConnection::enter(State state, std::chrono::milliseconds timeout) {
  state_ = state;
  deadline_ = Clock::now() + timeout;
  loop_.watch(deadline_);
}

void PeerConnection::proceed() {
  Next next = Next::go_on;
  while (next == Next::go_on) next = step();
  if (state_ == State::closed || next == Next::rest) return;
  if (next == Next::yield)
    return asio::post(socket_.get_executor(), [self = shared_from_this()] { self->proceed(); });
  socket_.async_wait(next == Next::read ? tcp::socket::wait_read : tcp::socket::wait_write,
                     [self = shared_from_this()](error_code error) {
                       if (!error) self->proceed();
                     });
}

PeerConnection::Next PeerConnection::step() {
  switch (state_) {
    case State::handshaking:
      return shake_hands();
    case State::idle:
    case State::reading:
      return read_request();
    case State::writing:
      return write();
    case State::lingering:
      return linger();
    case State::answering:
    case State::closed:
      return Next::rest;
  }
  return Next::rest;
}

PeerConnection::Next PeerConnection::after(TlsSession::Step step) {
  switch (step) {
    case TlsSession::Step::done:
      return Next::go_on;
    case TlsSession::Step::wants_read:
      return Next::read;
    case TlsSession::Step::wants_write:
      return Next::write;
    case TlsSession::Step::ended:
      return end();
  }
  return Next::rest;
}

PeerConnection::Next PeerConnection::end() {
  close();
  return Next::rest;
}

PeerConnection::Next PeerConnection::shake_hands() {
  const TlsSession::Step step = tls_.shake_hands();
  if (step == TlsSession::Step::ended) {
    util::log::debug("http: {} is no member: {}", remote_address_, tls_.why());
    loop_.failed_handshake();
    return say_goodbye();
  }
  if (step != TlsSession::Step::done) return after(step);
  if (!loop_.admit()) return end();
  member_ = true;
  peer_ = tls_.peer();
  expires_ = tls_.peer_expires();
  await_request();
  return Next::go_on;
}

void PeerConnection::await_request() {
  parser_.reset();
  header_bytes_ = 0;
  if (buffer_.size() == 0) {
    buffer_.shrink_to_fit();
    enter(State::idle, loop_.options().idle_timeout);
  } else {
    enter(State::reading, loop_.options().header_timeout);
  }
}

PeerConnection::Next PeerConnection::read_request() {
  if (buffer_.size() > 0)
    if (const auto next = parse()) return *next;
  const auto space = buffer_.prepare(kReadSize);
  const auto moved = tls_.read({static_cast<std::byte*>(space.data()), space.size()});
  if (moved.step != TlsSession::Step::done) {
    if (state_ == State::idle) buffer_.shrink_to_fit();
    return after(moved.step);
  }
  buffer_.commit(moved.bytes);
  if (state_ == State::idle) enter(State::reading, loop_.options().header_timeout);
  return Next::go_on;
}

/// Empty: more bytes are needed.
std::optional<PeerConnection::Next> PeerConnection::parse() {
  const size_t limit = loop_.options().max_header;
  if (!parser_) {
    parser_.emplace();
    parser_->header_limit(static_cast<uint32_t>(limit));
    parser_->body_limit(0);
  }
  error_code error;
  const size_t used = parser_->put(buffer_.data(), error);
  buffer_.consume(used);
  header_bytes_ += used;
  const bool incomplete =
      error == beast::http::error::need_more || (!error && !parser_->is_header_done());
  if (error == beast::http::error::header_limit || header_bytes_ > limit ||
      (incomplete && header_bytes_ + buffer_.size() > limit))
    return refuse(431);
  if (incomplete) return std::nullopt;
  if (error == beast::http::error::body_limit) return refuse(413);
  if (error) return refuse(400);
  return take_request();
}

PeerConnection::Next PeerConnection::take_request() {
  const auto& message = parser_->get();
  if (says_something_twice(message)) return refuse(400);
  if (message.count(beast::http::field::transfer_encoding) > 0) return refuse(413);
  auto target = Target::parse({message.target().data(), message.target().size()});
  if (!target) return refuse(400);
  if (std::chrono::system_clock::now() > expires_) return end();
  last_ = last_ || message.version() < 11 || !message.keep_alive();
  PeerRequest request{std::string(message.method_string()),
                      std::move(target->path),
                      std::move(target->query),
                      {},
                      remote_address_,
                      peer_};
  for (const auto& field : message)
    request.headers.emplace_back(field.name_string(), field.value());
  head_only_ = message.method() == beast::http::verb::head;
  answer_until_ = {};
  enter(State::answering, loop_.options().answer_timeout);
  loop_.handle(request, id_, ++number_);
  return Next::rest;
}

PeerConnection::Next PeerConnection::refuse(int status) {
  last_ = true;
  head_only_ = false;
  begin_answer(plain(status));
  return Next::go_on;
}

void PeerConnection::answer(uint64_t number, PeerResponse response) {
  const bool is_awaited = state_ == State::answering && number == number_;
  if (response.status == kProcessing && is_awaited) return take_long(std::move(response));
  if (!is_awaited && response.on_gone) return response.on_gone();
  if (!is_awaited) return;
  on_gone_ = nullptr;
  begin_answer(std::move(response));
  proceed();
}

void PeerConnection::take_long(PeerResponse sign) {
  on_gone_ = std::move(sign.on_gone);
  if (parser_->get().version() < 11) return;  // it would take a 102 for the answer
  answer_until_ = Clock::now() + loop_.options().long_timeout;
  enter(State::answering, loop_.options().sign_of_life);
}

void PeerConnection::give_up() {
  if (const auto gone = std::exchange(on_gone_, nullptr)) gone();
}

void PeerConnection::show_life() {
  const auto moved = tls_.write(util::as_bytes(kSignOfLife), false);
  // Before an answer nothing else is on its way: who has no room for a line is gone.
  if (moved.step != TlsSession::Step::done) return close();
  enter(State::answering, loop_.options().sign_of_life);
}

void PeerConnection::mark(bool bulk) {
  if (bulk_ == bulk) return;
  bulk_ = bulk;
  const int socket = socket_.native_handle();
  ::setsockopt(socket, IPPROTO_TCP, TCP_NOTSENT_LOWAT, bulk ? &kBulkUnsent : &kUnsent, sizeof(int));
  mark_traffic(socket, bulk);
}

/// In its turn, with as much in the kernel as its client's window allows.
size_t PeerConnection::turn() {
  const auto turn = loop_.turns().lock()->may_write(loop_.turn_of(id_), Clock::now());
  if (turn) {
    limit_buffer(turn->share);
    return std::min(kTurn, turn->most);
  }
  deadline_ = util::SteadyTime::max();
  loop_.look_for_turns();
  return 0;
}

/// The kernel doubles it, for its own bookkeeping, and counts that as well: about half of it again
/// is bytes.
void PeerConnection::limit_buffer(size_t share) {
  if (share / 4 * 3 < buffer_size_ && buffer_size_ < share / 4 * 5) return;
  buffer_size_ = share;
  const int size = static_cast<int>(share / 2);
  ::setsockopt(socket_.native_handle(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

void PeerConnection::take_turn() {
  if (state_ != State::writing) return;
  enter(State::writing, loop_.options().write_timeout);
  proceed();
}

void PeerConnection::end_sending() {
  parts_.clear();
  part_ = 0;
  if (const auto hold = std::exchange(urgent_, {})) loop_.end_urgent(*hold);
  if (!std::exchange(in_turns_, false)) return;
  loop_.turns().lock()->leave(loop_.turn_of(id_));
  loop_.next_turns();
}

void PeerConnection::begin_urgent() {
  if (std::exchange(buffer_size_, 0) != 0)  // the kernel would choose no more by itself
    ::setsockopt(socket_.native_handle(), SOL_SOCKET, SO_SNDBUF, &kWideBuffer, sizeof(int));
  bulk_written_ = 0;
  size_t length = 0;
  for (const auto& part : parts_) length += part.size();
  if (length > kFewLines) urgent_ = loop_.begin_urgent();
}

void PeerConnection::begin_answer(PeerResponse response) {
  mark(response.bulk);
  in_turns_ = response.bulk && !head_only_;
  // By its address as well: ways differ, and a member that takes another's name gets no turns of
  // his.
  if (in_turns_)
    loop_.turns().lock()->enter(
        peer_ + " at " + remote_address_.substr(0, remote_address_.rfind(':')), loop_.turn_of(id_));
  parts_.push_back(head_of(response, last_));
  if (!head_only_)
    for (auto& part : response.body)
      if (part.size() > 0) parts_.push_back(std::move(part));
  if (!response.bulk) begin_urgent();
  written_ = 0;
  enter(State::writing, loop_.options().write_timeout);
}

PeerConnection::Next PeerConnection::write() {
  const size_t most = in_turns_ ? turn() : kTurn;
  if (most == 0) return Next::rest;
  for (size_t total = 0; total < most;) {
    const util::ByteView rest = parts_[part_].view().subspan(at_);
    const util::ByteView record = rest.first(std::min(rest.size(), kRecord));
    const bool ends = record.size() == rest.size() && part_ + 1 == parts_.size();
    const bool gather = part_ == 0 || written_ >= kPushed;
    const auto moved = tls_.write(record, gather && !ends);
    if (moved.step != TlsSession::Step::done) return after(moved.step);
    total += moved.bytes;
    note_progress(moved.bytes);
    if (at_ < parts_[part_].size()) continue;
    at_ = 0;
    parts_[part_] = {};
    if (++part_ == parts_.size()) return written();
  }
  return Next::yield;
}

void PeerConnection::note_progress(size_t bytes) {
  at_ += bytes;
  const size_t before = std::exchange(written_, written_ + bytes);
  if (in_turns_) bulk_written_ += bytes;
  if (before / kProgress == written_ / kProgress) return;
  enter(State::writing, loop_.options().write_timeout);
  if (!in_turns_ || bulk_written_ <= buffer_size_) return;  // no acknowledgement tells of it yet
  if (const auto path = path_of(socket_.native_handle()))
    loop_.turns().lock()->wrote(loop_.turn_of(id_), *path, Clock::now());
  loop_.next_turns();
}

PeerConnection::Next PeerConnection::written() {
  end_sending();
  if (last_) return say_goodbye();
  await_request();
  return Next::go_on;
}

/// The other side may still be sending: a socket closed over unread bytes would take back what was
/// written last.
PeerConnection::Next PeerConnection::say_goodbye() {
  tls_.say_goodbye();
  error_code error;
  socket_.shutdown(tcp::socket::shutdown_send, error);
  enter(State::lingering, kLinger);
  return Next::go_on;
}

PeerConnection::Next PeerConnection::linger() {
  std::array<std::byte, kReadSize> waste;
  while (discarded_ < kMaxDiscarded) {
    const ssize_t got = ::recv(socket_.native_handle(), waste.data(), waste.size(), 0);
    if (got < 0 && errno == EAGAIN) return Next::read;
    if (got <= 0) break;
    discarded_ += static_cast<size_t>(got);
  }
  return end();
}

void PeerConnection::retire() {
  if (state_ == State::idle || state_ == State::reading) {
    tls_.say_goodbye();
    return close();
  }
  last_ = true;
}

void PeerConnection::expire() {
  if (state_ == State::answering && Clock::now() < answer_until_) return show_life();
  if (state_ == State::answering) {
    util::log::warning("http: {} waits for an answer in vain", remote_address_);
    give_up();
    begin_answer(plain(503));
    return proceed();
  }
  if (state_ == State::handshaking) loop_.failed_handshake();
  // What a client does not take must not stay in the kernel either.
  error_code error;
  if (state_ == State::writing) socket_.set_option(asio::socket_base::linger(true, 0), error);
  close();
}

void PeerConnection::close() {
  if (state_ == State::closed) return;
  state_ = State::closed;
  give_up();
  end_sending();
  error_code error;
  socket_.close(error);
  loop_.remove(id_);
}

}  // namespace swarmfs::http
