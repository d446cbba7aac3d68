// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "http/client.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <future>
#include <set>
#include <thread>

#include "http/flight.h"
#include "util/error.h"
#include "util/sync.h"

namespace swarmfs::http {

using util::Outcome;

struct Client::Loop {
  using FlightPtr = std::shared_ptr<Flight>;
  struct State {
    std::deque<FlightPtr> fresh;
    std::deque<FlightPtr> dropped;
    std::deque<FlightPtr> changed;  ///< pause or resume
    bool stopping = false;
  };

  explicit Loop(unsigned per_host) : multi(curl_multi_init()) {
    if (!multi) throw util::Error("curl gives no multi handle");
    curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, static_cast<long>(per_host));
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, 256L);
    thread = std::thread([this] { run(); });
  }
  ~Loop() {
    state.lock()->stopping = true;
    curl_multi_wakeup(multi);
    thread.join();
    for (const auto& flight : flights) curl_multi_remove_handle(multi, flight->easy);
    flights.clear();
    curl_multi_cleanup(multi);
  }
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void tell(std::deque<FlightPtr> State::*list, FlightPtr flight) {
    ((*state.lock()).*list).push_back(std::move(flight));
    curl_multi_wakeup(multi);
  }

  void run() {
    while (take_orders()) {
      int running = 0;
      curl_multi_perform(multi, &running);
      int left = 0;
      while (const CURLMsg* message = curl_multi_info_read(multi, &left))
        if (message->msg == CURLMSG_DONE) end(message->easy_handle, message->data.result);
      end_stalled();
      curl_multi_poll(multi, nullptr, 0, 500, nullptr);
    }
  }

  bool take_orders() {
    State orders;
    {
      auto locked = state.lock();
      if (locked->stopping) return false;
      std::swap(orders.fresh, locked->fresh);
      std::swap(orders.dropped, locked->dropped);
      std::swap(orders.changed, locked->changed);
    }
    for (auto& flight : orders.fresh) begin(std::move(flight));
    for (auto& flight : orders.changed) apply_pause(*flight);
    for (auto& flight : orders.dropped) remove(flight);
    return true;
  }

  void begin(FlightPtr flight) {
    flight->set_up();
    flight->last_byte = std::chrono::steady_clock::now();
    curl_multi_add_handle(multi, flight->easy);
    flights.insert(std::move(flight));
  }

  static void apply_pause(Flight& flight) {
    if (!flight.easy || flight.paused || !flight.is_paused) return;
    flight.is_paused = false;
    flight.last_byte = std::chrono::steady_clock::now();
    curl_easy_pause(flight.easy, CURLPAUSE_CONT);
  }

  void remove(const FlightPtr& flight) {
    if (flights.erase(flight)) curl_multi_remove_handle(multi, flight->easy);
  }

  FlightPtr find(CURL* easy) {
    char* raw = nullptr;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &raw);
    for (const auto& flight : flights)
      if (static_cast<void*>(flight.get()) == raw) return flight;
    return nullptr;
  }

  void end(CURL* easy, CURLcode code) {
    const FlightPtr flight = find(easy);
    if (!flight) return;
    remove(flight);
    finish(*flight, flight->outcome(code));
  }

  static void finish(Flight& flight, Outcome<Response> outcome) {
    flight.gate.run([&] { flight.handlers.on_done(std::move(outcome)); });
  }

  void end_stalled() {
    const auto now = std::chrono::steady_clock::now();
    std::vector<FlightPtr> stalled;
    for (const auto& flight : flights)
      if (!flight->paused && !flight->is_paused &&
          now - flight->last_byte.load() > flight->request.stall_timeout)
        stalled.push_back(flight);
    for (const auto& flight : stalled) {
      remove(flight);
      const std::string error =
          "no byte for " + std::to_string(flight->request.stall_timeout.count()) + " ms";
      std::strncpy(flight->error.data(), error.c_str(), flight->error.size() - 1);
      finish(*flight, flight->explain(CURLE_OPERATION_TIMEDOUT));
    }
  }

  CURLM* multi;
  util::Sync<State> state;
  std::set<FlightPtr> flights;  ///< loop thread only
  std::thread thread;
};

namespace {

template <class Loop>
class RealExchange final : public Exchange {
 public:
  RealExchange(Loop& loop, std::shared_ptr<Flight> flight)
      : loop_(loop), flight_(std::move(flight)) {}
  ~RealExchange() override {
    flight_->gate.close();
    loop_.tell(&Loop::State::dropped, flight_);
  }
  void pause() override {
    flight_->paused_at = std::chrono::steady_clock::now();
    flight_->paused = true;
  }
  void resume() override {
    if (!flight_->paused) return;
    // Its clock stood still, and is not set back: who is dead is found out between the pauses.
    const auto now = std::chrono::steady_clock::now();
    flight_->last_byte =
        std::min(now, flight_->last_byte.load() + (now - flight_->paused_at.load()));
    flight_->paused = false;
    loop_.tell(&Loop::State::changed, flight_);
  }

 private:
  Loop& loop_;
  std::shared_ptr<Flight> flight_;
};

}  // namespace

Client::Client(unsigned max_connections_per_host) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (ready != CURLE_OK) throw util::Error("curl does not start");
  loop_ = std::make_unique<Loop>(max_connections_per_host);
}

Client::~Client() = default;

std::unique_ptr<Exchange> Client::start(Request request, Handlers handlers) {
  auto flight = std::make_shared<Flight>();
  flight->request = std::move(request);
  flight->handlers = std::move(handlers);
  loop_->tell(&Loop::State::fresh, flight);
  return std::make_unique<RealExchange<Loop>>(*loop_, std::move(flight));
}

Outcome<Response> Client::perform(Request request) {
  std::promise<Outcome<Response>> done;
  Handlers handlers;
  handlers.on_done = [&](Outcome<Response> outcome) { done.set_value(std::move(outcome)); };
  auto future = done.get_future();
  const auto exchange = start(std::move(request), std::move(handlers));
  return future.get();
}

}  // namespace swarmfs::http
