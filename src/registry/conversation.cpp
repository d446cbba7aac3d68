// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "registry/conversation.h"

#include <fmt/format.h>

#include <random>

#include "http/url.h"
#include "util/backoff.h"
#include "util/log.h"

namespace swarmfs::registry {

using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

constexpr uint64_t kMaxSkip = 64 << 20;
constexpr unsigned kMaxRedirects = 5;

double random_fraction() {
  thread_local std::minstd_rand generator(std::random_device{}());
  return std::uniform_real_distribution<double>(0, 1)(generator);
}

/// "manifests/v1" → ":v1", as references say it.
std::string refusal(const std::string& host, int status, const std::string& repository,
                    std::string_view path) {
  std::string name = path.starts_with("blobs/") ? "@" : path.find(':') == path.npos ? ":" : "@";
  name = host + "/" + repository + name + std::string(path.substr(path.find('/') + 1));
  if (status == 404) return fmt::format("{} does not exist (the registry answers 404)", name);
  if (status == 401 || status == 403)
    return fmt::format(
        "{}: the registry refuses our credentials or their absence (status {}; log in with docker "
        "or podman, or set [credentials] files)",
        name, status);
  if (status == 400)
    return fmt::format("{}: the registry answers 400; if it speaks TLS, set plain_http = false",
                       name);
  return fmt::format("{}: the registry answers {}", name, status);
}

}  // namespace

Conversation::Conversation(RegistryClient& client, GetOrder order)
    : client_(client),
      order_(std::move(order)),
      endpoints_(client.endpoints(order_.registry, order_.anonymous)) {}

void Conversation::stop() {
  gate_.close();
  leave();
  std::unique_ptr<http::Exchange> exchange;
  const std::lock_guard hold(exchange_mutex_);
  exchange = std::move(exchange_);
}

void Conversation::pause() {
  const std::lock_guard hold(exchange_mutex_);
  paused_ = true;
  if (exchange_) exchange_->pause();
}

void Conversation::resume() {
  const std::lock_guard hold(exchange_mutex_);
  paused_ = false;
  if (exchange_) exchange_->resume();
}

void Conversation::leave() {
  if (std::exchange(inside_, false)) client_.leave(endpoint().host);
}

void Conversation::step() {
  gate_.run([&] {
    const auto now = std::chrono::steady_clock::now();
    if (now >= order_.deadline)
      return finish(Failure{Fault::timed_out, endpoint().host + " did not answer in time"});
    const auto wait = client_.hosts_.lock()->operator[](endpoint().host).breaker.wait(now);
    if (wait.count() > 0) {
      if (endpoint_ + 1 < endpoints_.size() || now + wait >= order_.deadline)
        return give_up(
            {Fault::unavailable, endpoint().host + " fails again and again; not asked for now"});
      return later(wait);
    }
    const auto pause = client_.hosts_.lock()
                           ->
                           operator[](endpoint().host)
                           .pacer.take(now, endpoint().options.max_requests_per_second);
    if (pause.count() > 0) return later(pause);
    const bool bulk = order_.range && order_.cls != chunk::Class::fault;
    if (bulk && !inside_) {
      inside_ =
          client_.enter(endpoint().host, endpoint().options.max_connections, shared_from_this());
      if (!inside_) return;
    }
    request();
  });
}

void Conversation::admitted() {
  bool alive = false;
  gate_.run([&] {
    alive = inside_ = true;
    request();
  });
  if (!alive) client_.leave(endpoint().host);
}

http::Request Conversation::make_request() {
  http::Request made;
  // Where a blob was redirected to for us, others may not go.
  if (url_.empty() && !order_.anonymous) url_ = client_.known_redirect(blob_url());
  const bool own = url_.empty() || url_ == blob_url();
  made.url = own ? blob_url() : url_;
  if (own) {
    used_header_ = client_.authorization(endpoint(), asker());
    if (!used_header_.empty()) made.headers.emplace_back("Authorization", used_header_);
  }
  if (!order_.accept.empty()) made.headers.emplace_back("Accept", order_.accept);
  made.tls = endpoint().options.tls;
  if (order_.range)
    made.range = util::ByteRange{order_.range->offset + received_, wanted() - received_};
  made.bulk = order_.cls == chunk::Class::prefetch || order_.cls == chunk::Class::backfill;
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      order_.deadline - std::chrono::steady_clock::now());
  made.stall_timeout = std::clamp(left, std::chrono::milliseconds(100), made.stall_timeout);
  return made;
}

void Conversation::request() {
  gate_.run([&] {
    received_before_ = received_;
    skip_ = 0;
    http::Handlers handlers;
    const std::weak_ptr<Conversation> weak = weak_from_this();
    handlers.on_headers = [weak](const http::Response& response) {
      const auto self = weak.lock();
      return self && self->on_headers(response);
    };
    if (order_.range)
      handlers.on_data = [weak](util::ByteView bytes) {
        if (const auto self = weak.lock()) self->on_data(bytes);
      };
    handlers.on_done = [weak](Outcome<http::Response> outcome) {
      if (const auto self = weak.lock()) self->on_response(std::move(outcome));
    };
    auto exchange = client_.http_.start(make_request(), std::move(handlers));
    const std::lock_guard hold(exchange_mutex_);
    if (paused_) exchange->pause();
    std::swap(exchange_, exchange);
  });
}

bool Conversation::on_headers(const http::Response& response) {
  if (!order_.range || response.status / 100 != 2) return true;
  if (response.status == 206) return true;
  skip_ = order_.range->offset + received_;
  return response.status == 200 && skip_ <= kMaxSkip;
}

void Conversation::on_data(util::ByteView bytes) {
  gate_.run([&] {
    const uint64_t skipped = std::min<uint64_t>(skip_, bytes.size());
    skip_ -= skipped;
    bytes = bytes.subspan(skipped);
    bytes = bytes.first(std::min<uint64_t>(bytes.size(), wanted() - received_));
    if (bytes.empty()) return;
    received_ += bytes.size();
    order_.on_data(bytes);
  });
}

void Conversation::on_response(Outcome<http::Response> outcome) {
  gate_.run([&] {
    if (order_.range && received_ == wanted()) {
      client_.count(order_.registry, std::to_string(outcome ? outcome->status : 206));
      client_.succeeded(endpoint().host);
      return finish(http::Response{206, {}, {}});
    }
    if (outcome) return on_answer(std::move(*outcome));
    client_.count(order_.registry, "error");
    Failure failure = outcome.failure();
    if (failure.fault == Fault::denied || failure.fault == Fault::invalid)
      return give_up(std::move(failure));
    if (failure.fault == Fault::cancelled)
      failure = {Fault::unavailable,
                 endpoint().host + " answers another range than the one asked for"};
    retry(std::move(failure));
  });
}

void Conversation::on_answer(http::Response response) {
  client_.count(order_.registry, std::to_string(response.status));
  if (response.status / 100 == 2) {
    if (order_.range) return retry({Fault::unavailable, endpoint().host + " sent too few bytes"});
    client_.succeeded(endpoint().host);
    return finish(std::move(response));
  }
  const std::string what =
      refusal(endpoint().host, response.status, order_.repository, order_.path);
  const bool redirected = !url_.empty() && url_ != blob_url();
  if (redirected && (response.status == 400 || response.status == 401 || response.status == 403 ||
                     response.status == 404 || response.status == 410)) {
    // A signed address expires: ask the registry for a new one.
    client_.forget_redirect(blob_url());
    url_ = blob_url();
    return ++redirects_ > kMaxRedirects ? give_up({Fault::unavailable, what}) : request();
  }
  const Verdict verdict = judge(response.status, authenticated_again_);
  switch (verdict.action) {
    case Verdict::Action::follow:
      return follow(response);
    case Verdict::Action::authenticate:
      return authenticate(response);
    case Verdict::Action::retry:
      return retry({verdict.fault, what}, parse_retry_after(response.header("Retry-After")));
    case Verdict::Action::fail:
      return give_up({verdict.fault, what});
  }
}

void Conversation::follow(const http::Response& response) {
  const auto base = http::Url::parse(url_.empty() ? blob_url() : url_);
  const auto target =
      base ? http::resolve(*base, response.header("Location").value_or("")) : std::nullopt;
  const bool downgrade = target && base->scheme == "https" && target->scheme == "http";
  if (!target || downgrade || ++redirects_ > kMaxRedirects)
    return give_up({Fault::unavailable, endpoint().host + " redirects to where we do not go"});
  url_ = target->to_string();
  if (order_.range && !order_.anonymous) client_.remember_redirect(blob_url(), url_);
  request();
}

void Conversation::authenticate(const http::Response& response) {
  const auto challenge = parse_challenge(response.header("WWW-Authenticate").value_or(""));
  if (!challenge)
    return give_up({response.status == 400 ? Fault::invalid : Fault::denied,
                    refusal(endpoint().host, response.status, order_.repository, order_.path)});
  authenticated_again_ = true;
  client_.auth_.post(
      util::Workers::Urgency::normal, [self = shared_from_this(), challenge = *challenge] {
        const auto done = self->client_.authenticate(self->endpoint(), self->asker(), challenge,
                                                     self->used_header_);
        self->gate_.run([&] { done ? self->request() : self->give_up(done.failure()); });
      });
}

void Conversation::retry(Failure why, std::optional<std::chrono::milliseconds> retry_after) {
  const auto now = std::chrono::steady_clock::now();
  client_.failed(endpoint().host, now);
  if (received_ > received_before_) attempt_ = 0;
  ++attempt_;
  url_.clear();
  if (endpoint_ + 1 < endpoints_.size()) return give_up(std::move(why));
  const auto delay = util::retry_delay({}, attempt_, random_fraction(), retry_after);
  const bool patient =
      order_.deadline != util::SteadyTime::max() ? now + delay < order_.deadline : attempt_ <= 8;
  if (!patient) return finish(std::move(why));
  util::log::debug("registry: {}; again in {} ms", why.message, delay.count());
  later(delay);
}

void Conversation::give_up(Failure why) {
  if (endpoint_ + 1 >= endpoints_.size()) return finish(std::move(why));
  util::log::debug("registry: {}; trying {}", why.message, endpoints_[endpoint_ + 1].host);
  leave();
  ++endpoint_;
  attempt_ = redirects_ = 0;
  authenticated_again_ = false;
  url_.clear();
  step();
}

void Conversation::later(util::Duration delay) {
  leave();
  const std::weak_ptr<Conversation> weak = weak_from_this();
  client_.timers_.post(delay, [weak] {
    if (const auto self = weak.lock()) self->step();
  });
}

void Conversation::finish(Outcome<http::Response> outcome) {
  leave();
  const auto done = std::move(order_.on_done);
  order_.on_done = nullptr;
  if (done) done(std::move(outcome));
}

}  // namespace swarmfs::registry
