// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "registry/registry_client.h"

namespace swarmfs::registry {

/// One GET until it succeeds or is given up: requests, authentication, redirects, retries. Owned by
/// its Transfer and by the callbacks under way. Its lock is never held over a call into http or out
/// to the caller.
class Conversation : public std::enable_shared_from_this<Conversation> {
 public:
  Conversation(RegistryClient& client, GetOrder order);
  /// The first step, on the timer thread.
  void start_soon() { later({}); }
  void stop();
  void pause();
  void resume();
  /// The request that waited for a free connection may go.
  void admitted();
  /// It is bulk, and waits for its turn or for better times. Any thread, waits for nothing.
  [[nodiscard]] bool waits_as_bulk() const { return waits_as_bulk_; }

 private:
  [[nodiscard]] const Endpoint& endpoint() const { return endpoints_[endpoint_]; }
  [[nodiscard]] std::string blob_url() const { return endpoint().url + order_.path; }
  /// By which a redirect is remembered.
  [[nodiscard]] std::string way() const {
    return blob_url() + std::string(order_.borrows ? RegistryClient::kLentWay : "");
  }
  [[nodiscard]] bool redirected() const { return !url_.empty() && url_ != blob_url(); }
  [[nodiscard]] uint64_t wanted() const { return order_.range ? order_.range->length : 0; }
  [[nodiscard]] bool is_bulk() const { return order_.range && order_.cls != chunk::Class::fault; }
  [[nodiscard]] Admission::Wish wish() const;
  void step();
  /// With a place, where one is needed.
  void ask();
  void not_now();
  void request();
  http::Request make_request();
  bool on_headers(const http::Response& response);
  void on_data(util::ByteView bytes);
  void on_response(util::Outcome<http::Response> outcome);
  void on_answer(http::Response response);
  void on_failure(util::Failure failure);
  void on_whole();
  void authenticate(const http::Response& response);
  void follow(const http::Response& response);
  /// Where a redirect led does not serve us: the registry is asked for another.
  void ask_anew(const std::string& why);
  /// The endpoint cannot now: the next one, or all again after a while.
  void retry(util::Failure why, std::optional<std::chrono::milliseconds> retry_after = {});
  /// The endpoint never will.
  void give_up(util::Failure why);
  void again(util::Failure why, std::optional<std::chrono::milliseconds> retry_after = {});
  void leave_endpoint();
  void finish(util::Outcome<http::Response> outcome);
  void later(util::Duration delay);
  void leave();
  /// The exchange at hand is over. Not under the gate, which its callbacks take under their own.
  void drop_exchange();
  /// While it is paused it keeps nobody waiting: a reader may wait for one of them.
  void give_way();

  RegistryClient& client_;
  GetOrder order_;
  util::CallbackGate gate_;          ///< over everything that calls out; closed by stop()
  std::vector<Endpoint> endpoints_;  ///< that have not refused yet
  size_t endpoint_ = 0;
  unsigned attempt_ = 0;  ///< rounds over all endpoints without a byte
  unsigned redirects_ = 0;
  bool authenticated_again_;
  std::atomic<bool> whole_came_ = false;  ///< the answer at hand ignores the range
  std::atomic<bool> waits_as_bulk_ = false;
  bool inside_ = false;      ///< counted among the host's bulk requests
  std::string used_header_;  ///< Authorization of the last request
  std::string url_;          ///< of the request at hand; empty: the endpoint's own
  bool remembered_ = false;  ///< url_ is a redirect of an earlier request
  uint64_t received_ = 0;
  uint64_t received_before_ = 0;           ///< when the round at hand began
  uint64_t skip_ = 0;                      ///< bytes of a 200 that stand before the range
  std::optional<util::SteadyTime> gave_;   ///< when something last came with the exchange at hand
  std::atomic<bool> stood_still_ = false;  ///< by our own will, since it began
  std::mutex exchange_mutex_;              ///< guards exchange_ and paused_; a leaf
  std::unique_ptr<http::Exchange> exchange_;
  bool paused_ = false;
};

}  // namespace swarmfs::registry
