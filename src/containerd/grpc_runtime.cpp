// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "containerd/grpc_runtime.h"

#include <grpcpp/grpcpp.h>

#include <containerd_api/content.grpc.pb.h>
#include <containerd_api/events.grpc.pb.h>
#include <containerd_api/images.grpc.pb.h>
#include <containerd_api/introspection.grpc.pb.h>
#include <containerd_api/namespaces.grpc.pb.h>
#include <set>

#include "util/sync.h"

namespace swarmfs::containerd {

namespace api = ::containerd::services;
using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

constexpr std::chrono::seconds kAnswerTime{10};
/// A list of all images comes in one message.
constexpr int kLongestMessage = 64 << 20;
constexpr const char* kContentPlugin = "io.containerd.content.v1";

Failure failure_of(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::NOT_FOUND:
      return {Fault::not_found, status.error_message()};
    case grpc::StatusCode::CANCELLED:
      return {Fault::cancelled, "interrupted"};
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return {Fault::timed_out, "it does not answer"};
    case grpc::StatusCode::UNAVAILABLE:
      return {Fault::unavailable, status.error_message()};
    default:
      return {Fault::invalid, status.error_message()};
  }
}

/// CompletionQueue knows no steady clock.
std::chrono::system_clock::time_point wall_time(util::SteadyTime until) {
  return std::chrono::system_clock::now() +
         std::chrono::duration_cast<std::chrono::system_clock::duration>(
             until - std::chrono::steady_clock::now());
}

std::optional<NamedImage> named(const api::images::v1::Image& image) {
  const auto target = util::Digest::parse(image.target().digest());
  if (!target) return std::nullopt;
  return NamedImage{image.name(), *target};
}

}  // namespace

/// What is under way, so that another thread can end it.
struct GrpcRuntime::Calls {
  struct State {
    std::set<grpc::ClientContext*> running;
    bool interrupted = false;
  };
  util::Sync<State> state;

  void begin(grpc::ClientContext& call) {
    auto now = state.lock();
    now->running.insert(&call);
    if (now->interrupted) call.TryCancel();
  }
  void end(grpc::ClientContext& call) { state.lock()->running.erase(&call); }

  template <class Ask>
  grpc::Status ask(const std::string& name_space, Ask ask) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kAnswerTime);
    if (!name_space.empty()) context.AddMetadata("containerd-namespace", name_space);
    begin(context);
    const grpc::Status status = ask(context);
    end(context);
    return status;
  }
};

struct GrpcRuntime::Connection {
  Connection(const std::string& socket, Calls& all_calls) : calls(all_calls) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kLongestMessage);
    arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // no memory of the last connection
    channel = grpc::CreateCustomChannel("unix://" + socket, grpc::InsecureChannelCredentials(),
                                        arguments);
    api::events::v1::SubscribeRequest request;
    request.add_filters(R"(topic=="/images/create")");
    request.add_filters(R"(topic=="/images/update")");
    calls.begin(context);
    events =
        api::events::v1::Events::NewStub(channel)->PrepareAsyncSubscribe(&context, request, &queue);
    events->StartCall(this);
  }
  ~Connection() {
    context.TryCancel();
    queue.Shutdown();
    void* tag = nullptr;
    bool good = false;
    while (queue.Next(&tag, &good)) continue;
    calls.end(context);
  }

  /// Nothing comes any more: why.
  Failure end() {
    grpc::Status status;
    events->Finish(&status, this);
    void* tag = nullptr;
    bool good = false;
    queue.Next(&tag, &good);
    return status.ok() ? Failure{Fault::unavailable, "it has ended the connection"}
                       : failure_of(status);
  }

  Calls& calls;
  std::shared_ptr<grpc::Channel> channel;
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  ::containerd::types::Envelope envelope;
  bool started = false;
  std::unique_ptr<grpc::ClientAsyncReader<::containerd::types::Envelope>> events;
};

GrpcRuntime::GrpcRuntime(const std::string& socket)
    : socket_(socket), calls_(std::make_unique<Calls>()) {}

GrpcRuntime::~GrpcRuntime() = default;

void GrpcRuntime::connect() {
  connection_.reset();
  connection_ = std::make_unique<Connection>(socket_, *calls_);
}

Outcome<std::filesystem::path> GrpcRuntime::content_root() {
  api::introspection::v1::PluginsRequest request;
  request.add_filters(std::string("type==") + kContentPlugin);
  api::introspection::v1::PluginsResponse answer;
  const auto stub = api::introspection::v1::Introspection::NewStub(connection_->channel);
  const auto status = calls_->ask(
      "", [&](grpc::ClientContext& context) { return stub->Plugins(&context, request, &answer); });
  if (!status.ok()) return failure_of(status);
  for (const auto& plugin : answer.plugins())
    if (const auto root = plugin.exports().find("root");
        plugin.type() == kContentPlugin && root != plugin.exports().end())
      return std::filesystem::path(root->second);
  return Failure{Fault::unavailable,
                 "it does not say where its content store is: set [containerd] content"};
}

Outcome<std::vector<std::string>> GrpcRuntime::namespaces() {
  api::namespaces::v1::ListNamespacesResponse answer;
  const auto stub = api::namespaces::v1::Namespaces::NewStub(connection_->channel);
  const auto status = calls_->ask(
      "", [&](grpc::ClientContext& context) { return stub->List(&context, {}, &answer); });
  if (!status.ok()) return failure_of(status);
  std::vector<std::string> made;
  for (const auto& one : answer.namespaces()) made.push_back(one.name());
  return made;
}

Outcome<std::vector<NamedImage>> GrpcRuntime::images(const std::string& name_space) {
  api::images::v1::ListImagesResponse answer;
  const auto stub = api::images::v1::Images::NewStub(connection_->channel);
  const auto status = calls_->ask(
      name_space, [&](grpc::ClientContext& context) { return stub->List(&context, {}, &answer); });
  if (!status.ok()) return failure_of(status);
  std::vector<NamedImage> made;
  for (const auto& one : answer.images())
    if (auto image = named(one)) made.push_back(std::move(*image));
  return made;
}

Outcome<NamedImage> GrpcRuntime::image(const ImageEvent& event) {
  api::images::v1::GetImageRequest request;
  request.set_name(event.name);
  api::images::v1::GetImageResponse answer;
  const auto stub = api::images::v1::Images::NewStub(connection_->channel);
  const auto status = calls_->ask(event.name_space, [&](grpc::ClientContext& context) {
    return stub->Get(&context, request, &answer);
  });
  if (!status.ok()) return failure_of(status);
  auto image = named(answer.image());
  if (!image) return Failure{Fault::not_found, "its target is no sha256 digest"};
  return std::move(*image);
}

Outcome<Labels> GrpcRuntime::labels(const std::string& name_space, const util::Digest& blob) {
  api::content::v1::InfoRequest request;
  request.set_digest(blob.to_string());
  api::content::v1::InfoResponse answer;
  const auto stub = api::content::v1::Content::NewStub(connection_->channel);
  const auto status = calls_->ask(name_space, [&](grpc::ClientContext& context) {
    return stub->Info(&context, request, &answer);
  });
  if (!status.ok()) return failure_of(status);
  return Labels(answer.info().labels().begin(), answer.info().labels().end());
}

Outcome<std::optional<ImageEvent>> GrpcRuntime::next_event(util::SteadyTime until) {
  auto& connection = *connection_;
  while (true) {
    void* tag = nullptr;
    bool good = false;
    if (connection.queue.AsyncNext(&tag, &good, wall_time(until)) == grpc::CompletionQueue::TIMEOUT)
      return std::optional<ImageEvent>();
    const auto envelope = std::exchange(connection.envelope, {});
    if (!good) return connection.end();
    connection.events->Read(&connection.envelope, &connection);
    if (!std::exchange(connection.started, true)) continue;  // the call has begun, no more
    api::images::v1::ImageCreate event;
    if (envelope.topic().starts_with("/images/") && event.ParseFromString(envelope.event().value()))
      return std::optional(ImageEvent{envelope.namespace_(), event.name()});
  }
}

void GrpcRuntime::interrupt() {
  auto state = calls_->state.lock();
  state->interrupted = true;
  for (auto* call : state->running) call->TryCancel();
}

}  // namespace swarmfs::containerd
