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

constexpr unsigned kMaxRedirects = 5;
constexpr std::chrono::seconds kGives{2};         ///< who gave something so lately
constexpr std::chrono::seconds kLongestPause{1};  ///< then who asks, and how much, is seen anew
constexpr std::chrono::milliseconds kFaultBackoff{2'000};

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
      authenticated_again_(!order_.authorization.empty()) {
  const bool part = order_.range && !order_.whole;
  for (const auto& origin : order_.origins)
    for (auto& endpoint : client.endpoints(origin, order_.anonymous))
      if (!part || !client.ignores_ranges(endpoint)) endpoints_.push_back(std::move(endpoint));
}

void Conversation::stop() {
  gate_.close();
  // It gave until nobody wanted more, which may be all that is known of it.
  const bool gives = gave_ && std::chrono::steady_clock::now() - *gave_ < kGives;
  if (gives && !redirected()) client_.admission_.succeeded(endpoint().host);
  leave();
  std::unique_ptr<http::Exchange> exchange;
  const std::lock_guard hold(exchange_mutex_);
  exchange = std::move(exchange_);
}

void Conversation::pause() {
  {
    const std::lock_guard hold(exchange_mutex_);
    paused_ = true;
    stood_still_ = true;
    if (exchange_) exchange_->pause();
  }
  // Not here: whoever pauses may hold what a callback of ours waits for.
  client_.timers_.post({}, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->give_way();
  });
}

void Conversation::give_way() {
  std::string host;
  gate_.run([&] {
    const std::lock_guard hold(exchange_mutex_);
    if (paused_ && std::exchange(inside_, false)) host = endpoint().host;
  });
  if (!host.empty()) client_.admission_.leave(host);
}

void Conversation::resume() {
  const std::lock_guard hold(exchange_mutex_);
  paused_ = false;
  if (exchange_) exchange_->resume();
}

void Conversation::leave() {
  if (std::exchange(inside_, false)) client_.admission_.leave(endpoint().host);
}

void Conversation::step() {
  gate_.run([&] {
    if (endpoints_.empty())
      return finish(Failure{Fault::unavailable, "no registry is known that serves it"});
    const auto now = std::chrono::steady_clock::now();
    if (now >= order_.deadline)
      return finish(Failure{Fault::timed_out, endpoint().host + " did not answer in time"});
    waits_as_bulk_ = is_bulk();
    auto& admission = client_.admission_;
    if (admission.closed_for(endpoint().host, is_bulk(), now).count() > 0) return not_now();
    if (const auto pause = admission.pace(wish(), now); pause.count() > 0)
      return later(std::min<util::Duration>({pause, kLongestPause, order_.deadline - now}));
    if (is_bulk() && !inside_) {
      if (!admission.enter(wish(), order_.cls, shared_from_this(), now)) return;
      inside_ = true;
    }
    ask();
  });
}

void Conversation::ask() {
  gate_.run([&] {
    const auto now = std::chrono::steady_clock::now();
    if (client_.admission_.wait(endpoint().host, is_bulk(), now).count() > 0) return not_now();
    request();
  });
}

void Conversation::not_now() {
  retry({Fault::unavailable, endpoint().host + " fails or limits us; not asked for now"});
}

Admission::Wish Conversation::wish() const {
  const auto& options = endpoint().options;
  return {endpoint().host, options.node, options.cluster, is_bulk(), wanted() - received_};
}

void Conversation::drop_exchange() {
  std::unique_ptr<http::Exchange> old;
  const std::lock_guard hold(exchange_mutex_);
  old = std::move(exchange_);
}

void Conversation::admitted() {
  // Not here: whoever leaves is under a gate of its own. And surely, for the place is taken.
  client_.timers_.post({}, [self = shared_from_this()] {
    self->drop_exchange();
    bool alive = false;
    self->gate_.run([&] { alive = self->inside_ = true; });
    if (!alive) return self->client_.admission_.leave(self->endpoint().host);
    self->ask();
    self->give_way();
  });
}

http::Request Conversation::make_request() {
  http::Request made;
  // Where a blob was redirected to for us, others may not go.
  if (url_.empty() && !order_.anonymous) {
    url_ = client_.known_redirect(way());
    remembered_ = !url_.empty();
  }
  made.url = redirected() ? url_ : blob_url();
  made.tls = endpoint().options.tls;
  if (!redirected() || endpoint().same_origin(url_)) {
    used_header_ = order_.authorization.empty() ? client_.authorization(endpoint(), order_.borrows)
                                                : order_.authorization;
    if (!used_header_.empty()) made.headers.emplace_back("Authorization", used_header_);
  } else {
    made.tls.cert_file = made.tls.key_file = "";
  }
  if (!order_.accept.empty()) made.headers.emplace_back("Accept", order_.accept);
  if (order_.range && !order_.whole)
    made.range = util::ByteRange{order_.range->offset + received_, wanted() - received_};
  made.bulk = order_.cls == chunk::Class::prefetch || order_.cls == chunk::Class::backfill;
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      order_.deadline - std::chrono::steady_clock::now());
  made.stall_timeout = std::clamp(left, std::chrono::milliseconds(100), made.stall_timeout);
  return made;
}

void Conversation::request() {
  gate_.run([&] {
    waits_as_bulk_ = false;
    skip_ = 0;
    whole_came_ = false;
    gave_.reset();
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
    stood_still_ = paused_;
    if (paused_) exchange->pause();
    std::swap(exchange_, exchange);
  });
}

bool Conversation::on_headers(const http::Response& response) {
  if (!order_.range || response.status / 100 != 2) return true;
  // Also to who stands still, and takes none of it yet.
  gate_.run([&] { gave_ = std::chrono::steady_clock::now(); });
  if (response.status == 206) return true;
  skip_ = order_.range->offset + received_;
  const bool is_all = response.header("Content-Length") == std::to_string(wanted());
  whole_came_ = !order_.whole && (skip_ > 0 || !is_all);
  return response.status == 200 && !whole_came_;
}

void Conversation::on_data(util::ByteView bytes) {
  gate_.run([&] {
    gave_ = std::chrono::steady_clock::now();
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
      client_.count(endpoint().registry, std::to_string(outcome ? outcome->status : 206));
      client_.admission_.succeeded(endpoint().host);
      return finish(http::Response{206, {}, {}});
    }
    if (whole_came_) return on_whole();
    if (outcome) return on_answer(std::move(*outcome));
    client_.count(endpoint().registry, "error");
    on_failure(outcome.failure());
  });
}

void Conversation::on_whole() {
  client_.count(endpoint().registry, "200");
  client_.admission_.succeeded(endpoint().host);
  client_.ignored_range(endpoint());
  give_up({Fault::unavailable, endpoint().host + " ignores range requests"});
}

void Conversation::on_failure(Failure failure) {
  if (redirected() && remembered_) return ask_anew(failure.message);
  if (failure.fault == Fault::denied || failure.fault == Fault::invalid)
    return give_up(std::move(failure));
  if (failure.fault == Fault::cancelled)
    failure = {Fault::unavailable,
               endpoint().host + " answers another range than the one asked for"};
  if (!redirected()) {
    // Who is made to wait may hang up: that is our doing, or our client's.
    if (gave_ && stood_still_)
      client_.admission_.succeeded(endpoint().host);
    else
      client_.admission_.failed(endpoint().host, std::chrono::steady_clock::now());
  }
  retry(std::move(failure));
}

void Conversation::on_answer(http::Response response) {
  client_.count(endpoint().registry, std::to_string(response.status));
  if (response.status / 100 == 2) {
    if (order_.range) return on_failure({Fault::unavailable, endpoint().host + " sent too little"});
    client_.admission_.succeeded(endpoint().host);
    return finish(std::move(response));
  }
  const std::string what = refusal(endpoint().host, response.status, endpoint().name, order_.path);
  const Verdict verdict = judge(response.status, authenticated_again_);
  // A signed address expires, and a store of blobs may be gone while the registry is not.
  const bool expired = response.status / 100 == 4 && verdict.action != Verdict::Action::retry;
  if (redirected() && (expired || (remembered_ && response.status / 100 == 5)))
    return ask_anew(what);
  switch (verdict.action) {
    case Verdict::Action::follow:
      return follow(response);
    case Verdict::Action::authenticate:
      return authenticate(response);
    case Verdict::Action::retry: {
      const auto wish =
          parse_retry_after(response.header("Retry-After"), std::chrono::system_clock::now());
      // What the registry says to another is not said to us.
      if (redirected() || !order_.authorization.empty()) return retry({verdict.fault, what}, wish);
      const auto now = std::chrono::steady_clock::now();
      if (response.status != 429) client_.admission_.failed(endpoint().host, now);
      if (client_.is_lent(endpoint(), used_header_)) return retry({verdict.fault, what}, wish);
      if (wish) client_.admission_.hold_back(endpoint().host, now + *wish);
      return retry({verdict.fault, what});
    }
    case Verdict::Action::fail:
      return give_up({verdict.fault, what});
  }
}

void Conversation::ask_anew(const std::string& why) {
  client_.forget_redirect(way(), url_);
  url_ = blob_url();
  remembered_ = false;
  if (++redirects_ > kMaxRedirects) return give_up({Fault::unavailable, why});
  request();
}

void Conversation::follow(const http::Response& response) {
  const auto base = http::Url::parse(url_.empty() ? blob_url() : url_);
  const auto target =
      base ? http::resolve(*base, response.header("Location").value_or("")) : std::nullopt;
  const bool downgrade = target && base->scheme == "https" && target->scheme == "http";
  if (!target || downgrade || ++redirects_ > kMaxRedirects)
    return give_up({Fault::unavailable, endpoint().host + " redirects to where we do not go"});
  url_ = target->to_string();
  remembered_ = false;
  if (order_.range && !order_.anonymous) client_.remember_redirect(way(), url_);
  request();
}

void Conversation::authenticate(const http::Response& response) {
  auto challenge = parse_challenge(http::joined_header(response.headers, "WWW-Authenticate"));
  const Failure refused{response.status == 400 ? Fault::invalid : Fault::denied,
                        refusal(endpoint().host, response.status, endpoint().name, order_.path)};
  authenticated_again_ = true;
  client_.auth_.post(endpoint().host, [self = shared_from_this(), challenge, refused] {
    bool wanted = false;
    self->gate_.run([&] { wanted = true; });
    if (!wanted) return;
    const auto done = self->client_.authenticate(self->endpoint(), self->order_.borrows, challenge,
                                                 self->used_header_, self->order_.deadline);
    self->drop_exchange();
    self->gate_.run([&] {
      if (done) return self->request();
      if (util::may_pass(done.failure().fault)) return self->retry(done.failure());
      self->give_up(challenge ? done.failure() : refused);
    });
  });
}

void Conversation::leave_endpoint() {
  leave();
  gave_.reset();
  if (redirected()) client_.forget_redirect(way(), url_);
  url_.clear();
  redirects_ = 0;
  authenticated_again_ = !order_.authorization.empty();
  remembered_ = false;
}

void Conversation::retry(Failure why, std::optional<std::chrono::milliseconds> retry_after) {
  leave_endpoint();
  if (++endpoint_ >= endpoints_.size()) return again(std::move(why), retry_after);
  util::log::debug("registry: {}; trying {}", why.message, endpoint().host);
  step();
}

void Conversation::give_up(Failure why) {
  leave_endpoint();
  endpoints_.erase(endpoints_.begin() + static_cast<std::ptrdiff_t>(endpoint_));
  if (endpoints_.empty()) return finish(std::move(why));
  if (endpoint_ >= endpoints_.size()) return again(std::move(why));
  util::log::debug("registry: {}; trying {}", why.message, endpoint().host);
  step();
}

void Conversation::again(Failure why, std::optional<std::chrono::milliseconds> retry_after) {
  const auto now = std::chrono::steady_clock::now();
  if (received_ > received_before_) attempt_ = 0;
  received_before_ = received_;
  ++attempt_;
  endpoint_ = 0;
  util::Duration closed = util::Duration::max();
  for (const auto& endpoint : endpoints_)
    closed = std::min(closed, client_.admission_.closed_for(endpoint.host, is_bulk(), now));
  util::BackoffPolicy policy;
  if (order_.cls == chunk::Class::fault) policy.longest = kFaultBackoff;
  const auto delay = std::max<util::Duration>(
      closed, util::retry_delay(policy, attempt_, random_fraction(), retry_after));
  const bool patient =
      order_.deadline != util::SteadyTime::max() ? now + delay < order_.deadline : attempt_ <= 8;
  // Not a failure of bulk, which may get more time.
  if (!patient && is_bulk() && closed.count() > 0 && order_.deadline != util::SteadyTime::max())
    return later(order_.deadline - now);
  if (!patient) return finish(std::move(why));
  util::log::debug("registry: {}; again in {} ms", why.message,
                   std::chrono::duration_cast<std::chrono::milliseconds>(delay).count());
  later(delay);
}

void Conversation::later(util::Duration delay) {
  waits_as_bulk_ = is_bulk();
  leave();
  const std::weak_ptr<Conversation> weak = weak_from_this();
  client_.timers_.post(delay, [weak] {
    const auto self = weak.lock();
    if (!self) return;
    self->drop_exchange();
    self->step();
  });
}

void Conversation::finish(Outcome<http::Response> outcome) {
  leave();
  gave_.reset();
  const auto done = std::move(order_.on_done);
  order_.on_done = nullptr;
  if (done) done(std::move(outcome));
}

}  // namespace swarmfs::registry
