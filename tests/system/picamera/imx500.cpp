/* The virtual camera says with each picture what the network of an AI Camera says, from files of a check's. */
#include <dlfcn.h>
#include <fstream>
#include <iterator>
#include <libcamera/control_ids.h>
#include <libcamera/request.h>
#include <string>
#include <vector>

using namespace libcamera;

namespace {

constexpr size_t many = dynamic_extent;
constexpr auto out = ControlId::Direction::Out;

/* Debian's libcamera has these where it is made for a Pi. Source: control_ids_rpi.yaml, for which the numbers
   are of no account. */
const ControlId outputs{ 29001, "CnnOutputTensor", "rpi", ControlTypeFloat, out, many };
const ControlId shapes{ 29002, "CnnOutputTensorInfo", "rpi", ControlTypeByte, out, many };
const ControlId took{ 29003, "CnnKpiInfo", "rpi", ControlTypeInteger32, out, 2 };

template<typename T>
std::vector<T> read(const char *name)
{
    std::ifstream file(std::string("/check/ai/") + name, std::ios::binary);
    const std::vector<char> bytes{ std::istreambuf_iterator<char>(file), {} };
    const T *first = reinterpret_cast<const T *>(bytes.data());
    return { first, first + bytes.size() / sizeof(T) };
}

template<typename T>
void say(ControlList &metadata, const ControlId &id, const char *name)
{
    if (const auto values = read<T>(name); !values.empty())
        metadata.set(id.id(), ControlValue(Span<const T>(values)));
}

} /* namespace */

/* PipelineHandler::completeRequest, of libcamera's inside: what it is told of a picture is complete then. */
void complete(void *handler, Request *request) asm("_ZN9libcamera15PipelineHandler15completeRequestEPNS_7RequestE");

void complete(void *handler, Request *request)
{
    /* Python looks names up in this. */
    auto &known = const_cast<ControlIdMap &>(controls::controls);
    for (const ControlId *id : { &outputs, &shapes, &took })
        known.emplace(id->id(), id);
    auto &metadata = const_cast<ControlList &>(request->metadata());
    say<float>(metadata, outputs, "outputs");
    say<uint8_t>(metadata, shapes, "shapes");
    say<int32_t>(metadata, took, "took");
    if (const auto crop = read<int32_t>("crop"); crop.size() == 4)
        metadata.set(controls::ScalerCrop, Rectangle(crop[0], crop[1], crop[2], crop[3]));
    reinterpret_cast<decltype(&complete)>(
        dlsym(RTLD_NEXT, "_ZN9libcamera15PipelineHandler15completeRequestEPNS_7RequestE"))(handler, request);
}
