"""Code of the processes that are confined: nobody trusts what they send.

The compiler and the zygote read or fork what a model wrote, the oracle computes with what it
returned, and ``program_main`` runs it in a child. Each is started as a fresh interpreter by
``entry`` and confines itself (``jail``) before it reads anything. Imports ``wire`` and the
standard library only: no other code of ours is in the address space of a program.
"""
