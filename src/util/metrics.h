// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <map>
#include <memory>
#include <string>

namespace swarmfs::util {

/// Counters, gauges and histograms in Prometheus' terms (prometheus-cpp behind it). Any thread.
/// Looking one up takes a lock: hold on to the returned reference where it is hot. References live
/// as long as the Metrics.
class Metrics {
 public:
  using Labels = std::map<std::string, std::string>;

  class Counter {
   public:
    virtual ~Counter() = default;
    virtual void add(double amount = 1) = 0;
    [[nodiscard]] virtual double value() const = 0;
  };
  class Gauge {
   public:
    virtual ~Gauge() = default;
    virtual void set(double value) = 0;
    virtual void add(double amount) = 0;
    [[nodiscard]] virtual double value() const = 0;
  };
  class Histogram {
   public:
    virtual ~Histogram() = default;
    virtual void observe(double value) = 0;
  };

  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  Counter& counter(const std::string& name, const std::string& help, const Labels& labels = {});
  Gauge& gauge(const std::string& name, const std::string& help, const Labels& labels = {});
  /// Buckets in seconds from 100 µs to 60 s.
  Histogram& latency(const std::string& name, const std::string& help, const Labels& labels = {});
  /// Exposition text of all metrics (text format 0.0.4).
  [[nodiscard]] std::string text() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace swarmfs::util
