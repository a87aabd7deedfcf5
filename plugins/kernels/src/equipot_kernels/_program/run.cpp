// Calls of kernels, and the run itself.
enum { ARGUMENTS = 24 };
static I run_kernel(const Frame& f, const I* w) {
  const I count = w[4];
  I x[ARGUMENTS] = {};
  const I* argument = w + 5;
  for (I i = 0; i < count; i++, argument += 4) {
    if (argument[0] == 1) {
      const I offset = f.sizes[argument[2]];
      if (offset < 0 || offset > f.lengths[argument[1]]) return BOUNDS_ERROR;
      x[i] = I(f.buffers[argument[1]] + offset * argument[3]);
    } else if (argument[0] == 0) {
      x[i] = f.sizes[argument[1]];
    }
  }
  x[count] = f.threads;
  // More arguments than the function takes do no harm where the caller removes them, as on x86-64 and aarch64; but
  // exactly as many as it takes would need a case for each number.
  switch ((count + 4) / 4) {
#define FOUR(i) x[i], x[i + 1], x[i + 2], x[i + 3]
    case 1: ((void (*)(I, I, I, I))w[3])(FOUR(0)); break;
    case 2: ((void (*)(I, I, I, I, I, I, I, I))w[3])(FOUR(0), FOUR(4)); break;
    case 3: ((void (*)(I, I, I, I, I, I, I, I, I, I, I, I))w[3])(FOUR(0), FOUR(4), FOUR(8)); break;
    case 4: ((void (*)(I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I))w[3])(FOUR(0), FOUR(4), FOUR(8), FOUR(12)); break;
    case 5: ((void (*)(I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I))w[3])(FOUR(0), FOUR(4), FOUR(8), FOUR(12), FOUR(16)); break;
    default: ((void (*)(I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I))w[3])(FOUR(0), FOUR(4), FOUR(8), FOUR(12), FOUR(16), FOUR(20)); break;
  }
  return 0;
}

enum Opcode { LOOP, GEMM, KERNEL };

// Runs the instructions at code[begin:end]. Returns 0, or an error, of which the frame then says more.
extern "C" I program_run(Frame* frame, I begin, I end) {
  Frame& f = *frame;
  f.error = 0;
  for (I at = begin; at < end;) {
    const I* w = f.code + at;
    I error = 0;
    if (w[0] == LOOP) error = run_loop(f, w);
    else if (w[0] == GEMM) error = w[3] == FLOAT32 ? run_gemm<float>(f, w) : run_gemm<double>(f, w);
    else error = run_kernel(f, w);
    if (error) return f.instruction = w[2], f.error = error;
    at += w[1];
  }
  return 0;
}

// Evaluates sizes from symbols, and finds where each place of memory begins. Sizes are [constant, number of factors,
// symbol, factor, ...]; buffers are [size, bytes of an element, place or -1]. Returns the bytes of all places, or
// -1 - b if buffer b has a negative size.
extern "C" I program_layout(const I* words, I sizes, const I* symbols, I* values, const I* buffers, I count, I* lengths, I* starts, I places) {
  for (I i = 0; i < sizes; i++) {
    I value = words[0];
    const I factors = words[1];
    words += 2;
    for (I j = 0; j < factors; j++, words += 2) value += symbols[words[0]] * words[1];
    values[i] = value;
  }
  for (I p = 0; p < places; p++) starts[p] = 0;
  for (I b = 0; b < count; b++) {
    lengths[b] = values[buffers[3 * b]];
    if (lengths[b] < 0) return -1 - b;
    const I bytes = (lengths[b] * buffers[3 * b + 1] + 63) / 64 * 64, place = buffers[3 * b + 2];
    if (place >= 0 && bytes > starts[place]) starts[place] = bytes;
  }
  I all = 0;
  for (I p = 0; p < places; p++) {
    const I bytes = starts[p];
    starts[p] = all, all += bytes;
  }
  return all;
}

// Addresses of the inputs, which are checked: given holds the shape of each and -1. Inputs are [buffer, axes, size, ...].
// Returns the number of the first that does not fit, or -1.
extern "C" I program_bind(const I* inputs, I count, const I* sizes, const I* lengths, const I* given, const I* pointers, I* addresses) {
  for (I i = 0; i < count; i++) {
    const I buffer = inputs[0], axes = inputs[1];
    I points = 1;
    for (I j = 0; j < axes; j++) {
      const I size = sizes[inputs[2 + j]];
      if (given[j] != size) return i;
      points *= size;
    }
    if (given[axes] != -1 || points != lengths[buffer]) return i;
    addresses[buffer] = pointers[i];
    given += axes + 1, inputs += axes + 2;
  }
  return -1;
}

// Addresses of the buffers that have a place.
extern "C" void program_place(const I* buffers, I count, const I* starts, char* arena, char** addresses) {
  for (I b = 0; b < count; b++)
    if (buffers[3 * b + 2] >= 0) addresses[b] = arena + starts[buffers[3 * b + 2]];
}
