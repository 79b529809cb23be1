//! A simulated home: floors, walls, radios, people with phones, and the truth.
