// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "http/client.h"

#include <curl/curl.h>
#include <strings.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cstring>
#include <deque>
#include <future>
#include <set>
#include <thread>

#include "http/url.h"
#include "util/error.h"
#include "util/operation.h"
#include "util/sync.h"

namespace swarmfs::http {

using util::Failure;
using util::Fault;
using util::Outcome;
using Time = std::chrono::steady_clock::time_point;

std::optional<std::string> Response::header(std::string_view name) const {
  for (const auto& [key, value] : headers)
    if (key.size() == name.size() && strncasecmp(key.data(), name.data(), name.size()) == 0)
      return value;
  return std::nullopt;
}

namespace {

constexpr int kBulkReceiveBuffer = 512 * 1024;
constexpr size_t kMaxHeaders = 256 * 1024;

/// One transfer: its easy handle lives on the loop thread only.
struct Flight {
  Request request;
  Handlers handlers;
  util::CallbackGate gate;
  CURL* easy = nullptr;
  curl_slist* header_list = nullptr;
  std::array<char, CURL_ERROR_SIZE> error{};
  Response response;
  size_t header_bytes = 0;
  bool told_headers = false;
  bool refused = false;
  bool too_large = false;
  std::atomic<bool> paused{false};
  bool is_paused = false;  ///< what curl was told
  Time last_byte = std::chrono::steady_clock::now();

  ~Flight() {
    if (easy) curl_easy_cleanup(easy);
    curl_slist_free_all(header_list);
  }
  [[nodiscard]] bool streams() const { return handlers.on_data && response.status / 100 == 2; }
};

size_t on_header(char* data, size_t size, size_t count, void* context) {
  auto& flight = *static_cast<Flight*>(context);
  flight.last_byte = std::chrono::steady_clock::now();
  std::string_view line(data, size * count);
  flight.header_bytes += line.size();
  if (flight.header_bytes > kMaxHeaders) return 0;
  while (line.ends_with('\n') || line.ends_with('\r')) line.remove_suffix(1);
  if (line.starts_with("HTTP/")) {
    flight.response.headers.clear();
    long status = 0;
    curl_easy_getinfo(flight.easy, CURLINFO_RESPONSE_CODE, &status);
    flight.response.status = static_cast<int>(status);
  } else if (const size_t colon = line.find(':'); colon != std::string_view::npos) {
    std::string_view value = line.substr(colon + 1);
    value.remove_prefix(std::min(value.find_first_not_of(" \t"), value.size()));
    flight.response.headers.emplace_back(line.substr(0, colon), value);
  } else if (line.empty() && flight.response.status >= 200) {
    flight.told_headers = true;
    // docker-registry answers 416 with the blob's length and a short body: do not wait for it.
    if (flight.response.status == 416) flight.refused = true;
    if (flight.handlers.on_headers)
      flight.gate.run([&] { flight.refused |= !flight.handlers.on_headers(flight.response); });
    if (flight.refused) return 0;
  }
  return size * count;
}

size_t on_body(char* data, size_t size, size_t count, void* context) {
  auto& flight = *static_cast<Flight*>(context);
  if (flight.paused) {
    flight.is_paused = true;
    return CURL_WRITEFUNC_PAUSE;
  }
  flight.last_byte = std::chrono::steady_clock::now();
  const size_t length = size * count;
  if (flight.streams()) {
    flight.gate.run([&] { flight.handlers.on_data(util::as_bytes({data, length})); });
    return length;
  }
  if (flight.response.body.size() + length > flight.request.max_body) {
    flight.too_large = true;
    return 0;
  }
  flight.response.body.append(data, length);
  return length;
}

int on_socket(void* context, curl_socket_t socket, curlsocktype) {
  if (static_cast<Flight*>(context)->request.bulk)
    ::setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &kBulkReceiveBuffer, sizeof kBulkReceiveBuffer);
  return CURL_SOCKOPT_OK;
}

void set_up(Flight& flight) {
  const Request& request = flight.request;
  CURL* easy = flight.easy = curl_easy_init();
  if (!easy) throw util::Error("curl gives no handle");
  curl_easy_setopt(easy, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "swarmfs/" SWARMFS_VERSION);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, flight.error.data());
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                   static_cast<long>(request.connect_timeout.count()));
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(request.total_timeout.count()));
  // Ranges of one layer share no stream: a paused h2 stream would hold up the others.
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 128L * 1024);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &flight);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &flight);
  curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_socket);
  curl_easy_setopt(easy, CURLOPT_SOCKOPTDATA, &flight);
  curl_easy_setopt(easy, CURLOPT_PRIVATE, &flight);
  if (request.method == "HEAD") curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
  if (request.method != "GET" && request.method != "HEAD")
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  if (!request.body.empty() || request.method == "POST") {
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, static_cast<long>(request.body.size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request.body.data());
  }
  if (!request.unix_socket.empty())
    curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, request.unix_socket.c_str());
  if (!request.tls.ca_file.empty())
    curl_easy_setopt(easy, CURLOPT_CAINFO, request.tls.ca_file.c_str());
  if (!request.tls.cert_file.empty()) {
    curl_easy_setopt(easy, CURLOPT_SSLCERT, request.tls.cert_file.c_str());
    curl_easy_setopt(easy, CURLOPT_SSLKEY, request.tls.key_file.c_str());
  }
  Headers headers = request.headers;
  if (request.range)
    headers.emplace_back("Range", "bytes=" + std::to_string(request.range->offset) + "-" +
                                      std::to_string(request.range->end() - 1));
  for (const auto& [name, value] : headers)
    flight.header_list = curl_slist_append(flight.header_list, (name + ": " + value).c_str());
  flight.header_list = curl_slist_append(flight.header_list, "Expect:");
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, flight.header_list);
}

Failure explain(const Flight& flight, CURLcode code) {
  const auto url = Url::parse(flight.request.url);
  const std::string where = !flight.request.unix_socket.empty() ? flight.request.unix_socket
                            : url                               ? url->origin()
                                                                : flight.request.url;
  const std::string why = flight.error[0] ? flight.error.data() : curl_easy_strerror(code);
  if (flight.too_large) return {Fault::invalid, where + " answers with more than it may"};
  if (flight.refused) return {Fault::cancelled, where + ": answer refused"};
  if (code == CURLE_OPERATION_TIMEDOUT) return {Fault::timed_out, where + ": " + why};
  if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
      code == CURLE_SSL_CERTPROBLEM)
    return {Fault::denied, where + ": " + why + " (see ca_file, cert_file and key_file)"};
  if (code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_URL_MALFORMAT)
    return {Fault::invalid, flight.request.url + " is no URL that can be asked"};
  return {Fault::unavailable, where + ": " + why};
}

}  // namespace

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
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, 64L);
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
    set_up(*flight);
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
    const bool answered =
        code == CURLE_OK || (flight->response.status == 416 && flight->told_headers);
    finish(*flight,
           answered ? Outcome<Response>(std::move(flight->response)) : explain(*flight, code));
  }

  static void finish(Flight& flight, Outcome<Response> outcome) {
    flight.gate.run([&] { flight.handlers.on_done(std::move(outcome)); });
  }

  void end_stalled() {
    const auto now = std::chrono::steady_clock::now();
    std::vector<FlightPtr> stalled;
    for (const auto& flight : flights)
      if (!flight->is_paused && now - flight->last_byte > flight->request.stall_timeout)
        stalled.push_back(flight);
    for (const auto& flight : stalled) {
      remove(flight);
      const std::string error =
          "no byte for " + std::to_string(flight->request.stall_timeout.count()) + " ms";
      std::strncpy(flight->error.data(), error.c_str(), flight->error.size() - 1);
      finish(*flight, explain(*flight, CURLE_OPERATION_TIMEDOUT));
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
  void pause() override { flight_->paused = true; }
  void resume() override {
    if (flight_->paused.exchange(false)) loop_.tell(&Loop::State::changed, flight_);
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
