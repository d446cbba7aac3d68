// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "util/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include "util/sync.h"

namespace swarmfs::util {

namespace {

struct RealCounter final : Metrics::Counter {
  explicit RealCounter(prometheus::Counter& made) : counter(made) {}
  void add(double amount) override { counter.Increment(amount); }
  double value() const override { return counter.Value(); }
  prometheus::Counter& counter;
};

struct RealGauge final : Metrics::Gauge {
  explicit RealGauge(prometheus::Gauge& made) : gauge(made) {}
  void set(double value) override { gauge.Set(value); }
  void add(double amount) override { gauge.Increment(amount); }
  double value() const override { return gauge.Value(); }
  prometheus::Gauge& gauge;
};

struct RealHistogram final : Metrics::Histogram {
  explicit RealHistogram(prometheus::Histogram& made) : histogram(made) {}
  void observe(double value) override { histogram.Observe(value); }
  prometheus::Histogram& histogram;
};

template <class Made>
using Known = std::map<std::pair<std::string, Metrics::Labels>, std::unique_ptr<Made>>;

struct Maps {
  Known<RealCounter> counters;
  Known<RealGauge> gauges;
  Known<RealHistogram> histograms;
};

template <class Made, class Make>
Made& find_or_make(Known<Made>& known, const std::string& name, const Metrics::Labels& labels,
                   Make make) {
  auto& slot = known[{name, labels}];
  if (!slot) slot = std::make_unique<Made>(make());
  return *slot;
}

const prometheus::Histogram::BucketBoundaries kLatencyBuckets{
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
    0.1,    0.25,    0.5,    1,     2.5,    5,     10,   30,    60};

}  // namespace

struct Metrics::State {
  prometheus::Registry registry;
  Sync<Maps> maps;
};

Metrics::Metrics() : state_(std::make_unique<State>()) {}
Metrics::~Metrics() = default;

Metrics::Counter& Metrics::counter(const std::string& name, const std::string& help,
                                   const Labels& labels) {
  auto maps = state_->maps.lock();
  return find_or_make(maps->counters, name, labels, [&]() -> prometheus::Counter& {
    return prometheus::BuildCounter().Name(name).Help(help).Register(state_->registry).Add(labels);
  });
}

Metrics::Gauge& Metrics::gauge(const std::string& name, const std::string& help,
                               const Labels& labels) {
  auto maps = state_->maps.lock();
  return find_or_make(maps->gauges, name, labels, [&]() -> prometheus::Gauge& {
    return prometheus::BuildGauge().Name(name).Help(help).Register(state_->registry).Add(labels);
  });
}

Metrics::Histogram& Metrics::latency(const std::string& name, const std::string& help,
                                     const Labels& labels) {
  auto maps = state_->maps.lock();
  return find_or_make(maps->histograms, name, labels, [&]() -> prometheus::Histogram& {
    return prometheus::BuildHistogram()
        .Name(name)
        .Help(help)
        .Register(state_->registry)
        .Add(labels, kLatencyBuckets);
  });
}

std::string Metrics::text() const {
  return prometheus::TextSerializer().Serialize(state_->registry.Collect());
}

}  // namespace swarmfs::util
