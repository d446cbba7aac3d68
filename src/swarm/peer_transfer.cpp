// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "swarm/peer_transfer.h"

#include <fmt/format.h>

#include <algorithm>

#include "util/log.h"

namespace swarmfs::swarm {

using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

/// Who must get it from the registry has nothing to give until it has it: a reader does not wait
/// for long, bulk does while it shows signs of life (http::PeerServer::Respond).
std::chrono::seconds stall_timeout(chunk::Class cls, bool here) {
  if (cls == chunk::Class::fault) return std::chrono::seconds(here ? 2 : 7);
  return std::chrono::seconds(here ? 5 : 15);
}

std::vector<Endpoint> endpoints(std::string_view list) {
  std::vector<Endpoint> made;
  while (!list.empty() && made.size() < 8) {
    const std::string_view one = list.substr(0, list.find(','));
    list.remove_prefix(std::min(one.size() + 1, list.size()));
    if (const auto endpoint = Endpoint::parse(one)) made.push_back(*endpoint);
  }
  return made;
}

}  // namespace

PeerTransfer::PeerTransfer(std::shared_ptr<PeerSource::State> source, Order order,
                           PeerSource::State::Route route)
    : source_(std::move(source)), order_(std::move(order)), route_(std::move(route)) {}

void PeerTransfer::start() {
  // Not here: no callback may run inside Source::fetch().
  bool later = capped() > util::Duration();
  {
    const std::lock_guard hold(mutex_);
    later = later || route_.steps.empty();
  }
  if (later || !ask(0))
    source_->later({}, [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->ask_next();
    });
}

void PeerTransfer::stop() {
  gate_.close();
  Exchanges dropped;
  const std::lock_guard hold(mutex_);
  ended_ = true;
  winner_.reset();
  dropped = drop_all_but(nullptr);
  for (const auto& one : ending_) dropped.push_back(std::move(one->exchange));
}

/// Takes the others' exchanges out; they must die without our lock.
PeerTransfer::Exchanges PeerTransfer::drop_all_but(const TryPtr& kept) {
  Exchanges dropped;
  for (const auto& one : live_)
    if (one != kept) dropped.push_back(std::move(one->exchange));
  live_.clear();
  if (kept) live_.push_back(kept);
  return dropped;
}

void PeerTransfer::pause(bool paused) {
  const std::lock_guard hold(mutex_);
  paused_ = paused;
  for (const auto& one : live_) {
    one->began = one->last = std::chrono::steady_clock::now();
    one->before = one->arrived;
    if (!one->exchange) continue;
    if (paused)
      one->exchange->pause();
    else
      one->exchange->resume();
  }
}

std::string PeerTransfer::supplier() const {
  const std::lock_guard hold(mutex_);
  return supplier_.empty() ? "peers" : supplier_;
}

bool PeerTransfer::told_to_wait() const {
  const std::lock_guard hold(mutex_);
  return capped_ || !waits_.empty();
}

util::Duration PeerTransfer::capped() {
  const bool is_bulk = order_.context.cls != chunk::Class::fault;
  const auto pause =
      is_bulk ? source_->download.wait(std::chrono::steady_clock::now()) : util::Duration();
  const std::lock_guard hold(mutex_);
  capped_ = pause > util::Duration();
  return pause;
}

bool PeerTransfer::is_capped(const Endpoint& peer) {
  if (order_.context.cls == chunk::Class::fault) return false;
  const auto now = std::chrono::steady_clock::now();
  const auto pause = source_->download.wait(peer, now);
  if (pause == util::Duration()) return false;
  const std::lock_guard hold(mutex_);
  waits_[peer] = now + std::min<util::Duration>(pause, kMostWait);
  return true;
}

void PeerTransfer::ask_next() {
  if (const auto pause = capped(); pause > util::Duration()) return wait_out(pause);
  while (const auto step = next_step())
    if (ask(*step)) return;
  run_out_of_steps();
}

std::optional<size_t> PeerTransfer::next_step() {
  const std::lock_guard hold(mutex_);
  const auto& steps = route_.steps;
  const auto is_passed_over = [&](const PeerSource::State::Step& step) {
    const auto told = waits_.find(route_.peers[step.peer].endpoint);
    if (told != waits_.end()) return told->second > planned_;
    return !step.holds && !waits_.empty();
  };
  while (next_step_ < steps.size() && is_passed_over(steps[next_step_])) ++next_step_;
  return next_step_ < steps.size() ? std::optional(next_step_) : std::nullopt;
}

void PeerTransfer::run_out_of_steps() {
  auto until = util::SteadyTime::max();
  bool told = false;
  {
    const std::lock_guard hold(mutex_);
    if (ended_ || !live_.empty()) return;
    // Whose time had come when the steps were made is no longer one of them.
    std::erase_if(waits_, [&](const auto& one) { return one.second <= planned_; });
    told = !waits_.empty();
    for (const auto& [peer, time] : waits_) until = std::min(until, time);
  }
  if (!told) return finish(Failure{Fault::unavailable, "no peer gives the bytes"});
  wait_out(std::max(until - std::chrono::steady_clock::now(), util::Duration()));
}

void PeerTransfer::wait_out(util::Duration pause, const std::optional<Endpoint>& busy) {
  unsigned wait = 0;
  {
    const std::lock_guard hold(mutex_);
    if (ended_ || !live_.empty()) return;
    wait = ++wait_;
  }
  if (std::chrono::steady_clock::now() + pause >= order_.context.deadline)
    return finish(
        Failure{Fault::timed_out, "peers give no more in time: caps, or a crowd before them"});
  const auto go_on = [weak = weak_from_this(), wait] {
    if (const auto self = weak.lock()) self->end_wait(wait);
  };
  if (busy) {
    auto joined = source_->busy_lines.join(*busy, go_on);
    const std::lock_guard hold(mutex_);
    std::swap(in_line_, joined);
  }
  source_->later(pause, go_on);
}

void PeerTransfer::end_wait(unsigned wait) {
  {
    const std::lock_guard hold(mutex_);
    if (ended_ || wait != wait_) return;
    ++wait_;
    in_line_.cancel();
  }
  plan_again();
  ask_next();
}

bool PeerTransfer::ask(size_t index) {
  auto made = std::make_shared<Try>();
  {
    const std::lock_guard hold(mutex_);
    if (ended_ || next_step_ != index) return true;
    ++next_step_;
    made->index = index;
    made->step = route_.steps[index];
    const auto& peer = route_.peers[made->step.peer];
    made->endpoint = peer.endpoint;
    made->repository = route_.repositories[made->step.peer];
    made->same_zone = peer.zone == source_->options.zone;
    made->range = {order_.range.offset + delivered_, order_.range.length - delivered_};
  }
  if (is_capped(made->endpoint)) return false;
  made->attempt = source_->table.attempt(made->endpoint, made->range.length, made->step.here);
  if (!made->attempt) return false;
  made->expected = made->attempt->expected();
  {
    const std::lock_guard hold(mutex_);
    if (ended_) return true;
    made->began = std::chrono::steady_clock::now();
    if (order_.context.cls != chunk::Class::fault)
      made->bookings = source_->download.book(made->endpoint, made->range.length, made->began);
    live_.push_back(made);
  }
  launch(made);
  set_hedge(made, made->step.hedge);
  return true;
}

void PeerTransfer::launch(const TryPtr& made) {
  const auto& step = made->step;
  const bool windows = order_.layer.form == chunk::Form::windows;
  DemandClient::Query query{{"repository", made->repository},
                            {"class", chunk::to_string(order_.context.cls)}};
  if (windows)
    query["name"] = order_.layer.digest.hex();
  else
    query["fetch"] = step.holds ? "0" : "1";
  auto request = source_->client.request(
      made->endpoint,
      "/v1/layers/" + order_.layer.layer().hex() + (windows ? "/windows" : "/bytes"), query);
  request.range = made->range;
  request.stall_timeout = stall_timeout(order_.context.cls, step.here);
  request.bulk = order_.context.cls != chunk::Class::fault;
  http::Handlers handlers;
  const std::weak_ptr<PeerTransfer> weak = weak_from_this();
  const std::weak_ptr<Try> weak_try = made;
  const auto guarded = [weak, weak_try](auto call) {
    const auto self = weak.lock();
    const auto one = weak_try.lock();
    if (self && one) call(*self, one);
  };
  handlers.on_headers = [guarded](const http::Response& response) {
    bool go_on = false;
    guarded([&](PeerTransfer& self, const TryPtr& one) { go_on = self.on_headers(one, response); });
    return go_on;
  };
  handlers.on_data = [guarded](util::ByteView bytes) {
    guarded([&](PeerTransfer& self, const TryPtr& one) { self.on_data(one, bytes); });
  };
  handlers.on_done = [guarded](const Outcome<http::Response>& outcome) {
    guarded([&](PeerTransfer& self, const TryPtr& one) { self.on_done(one, outcome); });
  };
  auto exchange = source_->client.start(std::move(request), std::move(handlers));
  const std::lock_guard hold(mutex_);
  // Also where it has ended meanwhile. Its death waits for its callback, which may wait for the end
  // of Source::fetch(): it must not come here. While the callback runs, it holds `made`.
  if (paused_) exchange->pause();
  made->exchange = std::move(exchange);
}

void PeerTransfer::set_hedge(const TryPtr& one, util::Duration after) {
  if (after == util::Duration::max()) return;
  source_->later(after, [weak = weak_from_this(), weak_try = std::weak_ptr(one)] {
    const auto self = weak.lock();
    const auto late = weak_try.lock();
    if (!self || !late) return;
    const bool now = self->may_overtake();
    const auto excused = self->excused(*late);
    {
      const std::lock_guard hold(self->mutex_);
      // After the last step the caller's own hedge asks the registry.
      const bool last =
          self->next_step_ != late->index + 1 || self->next_step_ == self->route_.steps.size();
      if (self->winner_ || self->ended_ || last) return;
    }
    if (!now) return self->set_hedge(late, late->step.hedge);
    if (excused > util::Duration()) return self->set_hedge(late, excused);
    self->ask_next();
  });
}

util::Duration PeerTransfer::excused(const Try& one) const {
  const auto& context = order_.context;
  if (one.step.here || context.cls == chunk::Class::fault || !context.relay_patience) return {};
  const auto patience = context.relay_patience();
  const std::lock_guard hold(mutex_);
  return std::max(one.began + patience - std::chrono::steady_clock::now(), util::Duration());
}

bool PeerTransfer::may_overtake() const {
  const auto& context = order_.context;
  return swarm::may_overtake(context.cls, context.congested && context.congested());
}

void PeerTransfer::watch() {
  const auto period =
      std::chrono::milliseconds(order_.context.cls == chunk::Class::fault ? 25 : 500);
  source_->later(period, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    bool late = false;
    {
      const std::lock_guard hold(self->mutex_);
      if (self->ended_) return;
      late = self->is_late();
    }
    if (late && self->may_overtake()) self->ask_next();
    self->watch();
  });
}

/// Who gives the bytes lags, nobody else was asked to overtake it yet, and somebody can be.
bool PeerTransfer::is_late() const {
  if (!winner_ || paused_ || live_.size() > 1 || next_step_ == route_.steps.size()) return false;
  const auto now = std::chrono::steady_clock::now();
  return lags(order_.context.cls,
              {winner_->range.length - winner_->before, winner_->arrived - winner_->before,
               now - winner_->began, winner_->expected, now - winner_->last});
}

bool PeerTransfer::on_headers(const TryPtr& one, const http::Response& response) {
  const bool fresh = source_->client.met(one->endpoint, response);
  one->again = response.status == 403 && fresh;
  one->busy = response.status == 503;
  if (one->busy)
    one->wait =
        wait_as_told(order_.context.cls, response.header("Swarmfs-Wait").value_or(std::string()));
  one->others = endpoints(response.header("Swarmfs-Others").value_or(""));
  const auto known = response.peer.substr(0, 12);
  const std::lock_guard hold(mutex_);
  one->supplier = fmt::format("{} (node {})", one->endpoint.to_string(), known);
  // The whole layer, or something endless: not what was asked for.
  const bool other = response.status / 100 == 2 && response.status != 206;
  return !ended_ && !other;
}

void PeerTransfer::on_data(const TryPtr& one, util::ByteView bytes) {
  Exchanges losers;
  util::ByteView fresh;  ///< that nobody has given yet
  bool first = false;
  {
    const std::lock_guard hold(mutex_);
    if (ended_ || std::find(live_.begin(), live_.end(), one) == live_.end()) return;
    one->arrived += bytes.size();
    for (auto& booking : one->bookings) booking.came(bytes.size());
    one->last = std::chrono::steady_clock::now();
    const uint64_t end = one->range.offset - order_.range.offset + one->arrived;
    fresh = bytes.last(std::min(bytes.size(), end - std::min(end, delivered_)));
    if (!fresh.empty() && winner_ != one) {
      first = delivered_ == 0;
      winner_ = one;
      losers = drop_all_but(one);
      waits_.clear();
      next_step_ = one->index + 1;  // who is dropped for it may be asked again when it lags
      if (delivered_ > 0 && supplier_ != one->supplier) seam_end_ = end_of_block();
    }
  }
  losers.clear();
  one->attempt->arrived(bytes.size());
  if (first) watch();
  source_->from_zone[one->same_zone]->add(static_cast<double>(bytes.size()));
  const auto now = std::chrono::steady_clock::now();
  if (source_->options.traffic)
    source_->options.traffic->received(order_.layer.layer(), bytes.size(), now);
  if (!one->same_zone) source_->cross_zone.lock()->take(bytes.size(), now);
  while (!fresh.empty()) {
    const auto piece = fresh.first(name_supplier(*one, fresh.size()));
    fresh = fresh.subspan(piece.size());
    gate_.run([&] { order_.on_data(piece); });
  }
}

/// Where the block ends in which the next byte lies, as delivered_ counts.
uint64_t PeerTransfer::end_of_block() const {
  const uint64_t at = order_.range.offset + delivered_;
  return (at + chunk::kBlockSize - 1) / chunk::kBlockSize * chunk::kBlockSize - order_.range.offset;
}

/// How many of the next `length` bytes have one supplier, who is named from here on. For a block
/// that two gave neither can be blamed.
size_t PeerTransfer::name_supplier(const Try& one, size_t length) {
  const std::lock_guard hold(mutex_);
  const bool mixed = delivered_ < seam_end_;
  supplier_ = mixed ? std::string() : one.supplier;
  if (mixed) length = std::min<uint64_t>(length, seam_end_ - delivered_);
  delivered_ += length;
  return length;
}

void PeerTransfer::judge(const TryPtr& one, const Outcome<http::Response>& outcome) {
  if (!outcome) {
    one->attempt->failed(outcome.failure().message);
    source_->views.gone(one->endpoint);
    return;
  }
  if (outcome->status == 206) {
    one->attempt->done();
    if (auto turn = source_->busy_lines.next(one->endpoint)) source_->later({}, std::move(turn));
    return;
  }
  if (one->busy && order_.context.cls != chunk::Class::fault) {
    one->attempt->busy();
    source_->views.full(one->endpoint);
  } else {
    one->attempt->declined();
  }
  if (outcome->status == 404) source_->lacks(one->endpoint, order_.layer, one->range);
  util::log::debug("peer {} declines layer {} at {} with {}", one->endpoint.to_string(),
                   order_.layer.digest.short_hex(), one->range.offset, outcome->status);
}

/// stop() waits for what comes after the end of one, too: it may ask the next.
void PeerTransfer::on_done(const TryPtr& one, const Outcome<http::Response>& outcome) {
  {
    const std::lock_guard hold(mutex_);
    if (ended_) return;
    live_.remove(one);
    ending_.push_back(one);
  }
  end(one, outcome);
  const std::lock_guard hold(mutex_);
  ending_.remove(one);
}

void PeerTransfer::end(const TryPtr& one, const Outcome<http::Response>& outcome) {
  judge(one, outcome);
  bool whole = false, first = false;
  {
    const std::lock_guard hold(mutex_);
    if (ended_) return;
    if (winner_ == one) winner_.reset();
    waits_.erase(one->endpoint);
    if (one->wait) waits_[one->endpoint] = std::chrono::steady_clock::now() + *one->wait;
    whole = delivered_ == order_.range.length;
    if (!whole && winner_) return;
    first = delivered_ == 0 && live_.empty();
  }
  if (whole) return finish(util::Done{});
  if (first && (one->again || one->busy)) return ask_again(one);
  ask_next();
}

/// The steps anew, with what is known by now.
void PeerTransfer::plan_again() {
  const util::ByteRange rest = order_.range;
  const auto now = std::chrono::steady_clock::now();
  auto route = source_->route(order_.layer, rest, order_.context.cls);
  const std::lock_guard hold(mutex_);
  route_ = std::move(route);
  next_step_ = 0;
  planned_ = now;
}

void PeerTransfer::ask_again(const TryPtr& one) {
  const auto blocks = chunk::blocks_covering(one->range);
  for (const auto& other : one->others) source_->views.holds(other, order_.layer.digest, blocks);
  std::optional<util::Duration> pause = util::Duration();
  {
    const std::lock_guard hold(mutex_);
    const bool referred = !one->others.empty() && referrals_++ < kMostReferrals;
    if (one->wait && !referred)
      pause.reset();
    else if (one->busy && !referred)
      pause = pause_when_busy(order_.context.cls, pauses_++);
  }
  pause ? wait_out(*pause, one->endpoint) : ask_next();
}

void PeerTransfer::finish(Outcome<util::Done> outcome) {
  {
    const std::lock_guard hold(mutex_);
    if (std::exchange(ended_, true)) return;
  }
  gate_.run([&] { order_.on_done(std::move(outcome)); });
}

}  // namespace swarmfs::swarm
