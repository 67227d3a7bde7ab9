// Drawing a code from logits: the same rule as wavenet/model/distributions.py, so that equal uniforms give equal codes.

#pragma once

namespace wavenet {

struct Sampling {
    double temperature = 1;  // divides the logits; 0 takes the likeliest code
    int top_k = 0;           // keeps the k likeliest, and the lower of two that tie; 0 keeps all
    double top_p = 1;        // keeps the smallest set of likeliest codes with this probability; 1 keeps all
    double guidance = 1;     // logits = without + guidance (logits - without), for streams that have a `without`
};

}  // namespace wavenet
