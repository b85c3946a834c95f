"""One event handed to the platform over HTTP.

A document goes out by ``POST`` as EPCIS 2.0 asks of a capture interface. It carries its event id twice,
inside and as ``Idempotency-Key``, so that a platform knows a second copy. An answer 202 only says that
the platform took the document: its capture job is asked what became of it. Redirects are not followed,
they would hand the token to somebody else. Nothing here remembers anything.
"""

import asyncio
import json
from datetime import datetime
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from serving.trace.answer import Answer, Fate, answer_of, answer_of_job, one_line

MOST_ANSWER_BYTE = 65_536
"""More of an answer is not read. [byte]"""

_ACCEPTED = 202
_OK = 200
_FIRST_LOOK_SECOND = 0.05


class Platform:
    """The capture interface of a platform; open it with ``async with``.

    Parameters
    ----------
    url : str
        Where documents are posted.
    token : str or None
        Bearer token; never logged and never part of an answer.
    timeout_second : float, optional
        How long one attempt may take, its capture job included. [s]
    connections : int, optional
        Connections at a time.
    """

    def __init__(self, url: str, token: str | None = None, timeout_second: float = 30.0, connections: int = 16) -> None:
        self._url = URL(url)
        self._headers = {
            "Content-Type": "application/ld+json",
            "Accept": "application/json",
            "GS1-EPCIS-Version": "2.0.0",
            "GS1-Capture-Error-Behaviour": "rollback",
        } | ({"Authorization": f"Bearer {token}"} if token else {})
        self._timeout_second = timeout_second
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=self._timeout_second),
            connector=aiohttp.TCPConnector(limit=self._connections),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self, event_id: str, document: bytes, now: datetime) -> Answer:
        """Hand one document over; never raises for what the network or the platform does.

        Parameters
        ----------
        event_id : str
            The event's UUID, 32 hexadecimal digits.
        document : bytes
            EPCIS document as JSON, UTF-8.
        now : datetime
            Moment against which a ``Retry-After`` date is read; aware.
        """
        try:
            async with asyncio.timeout(self._timeout_second):
                return await self._sent(event_id, document, now)
        except TimeoutError:
            return Answer(Fate.LATER, f"no answer within {self._timeout_second:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return Answer(Fate.LATER, one_line(f"no connection: {type(error).__name__}: {error}"))

    async def _sent(self, event_id: str, document: bytes, now: datetime) -> Answer:
        headers = {"Idempotency-Key": event_id}
        posted = self._open.post(self._url, data=document, headers=headers, allow_redirects=False)
        async with posted as response:
            answer = answer_of(response.status, response.headers, await _beginning(response), now)
            job = self._job(response) if response.status == _ACCEPTED else None
        return answer if job is None else await self._finished(answer, job)

    async def _finished(self, accepted: Answer, job: URL) -> Answer:
        """What became of a capture job; a platform that does not tell is taken at its word."""
        wait_second = _FIRST_LOOK_SECOND
        while True:
            async with self._open.get(job, allow_redirects=False) as response:
                told = _json_object(await _beginning(response)) if response.status == _OK else {}
            if "running" not in told:
                return accepted
            if (answer := answer_of_job(told, accepted.answer_id)) is not None:
                return answer
            await asyncio.sleep(wait_second)
            wait_second *= 2.0

    def _job(self, response: aiohttp.ClientResponse) -> URL | None:
        """Where the platform tells of its capture job; an address of somebody else is not followed."""
        try:
            job = self._url.join(URL(response.headers["Location"]))
            return job if job.origin() == self._url.origin() else None
        except (KeyError, ValueError):
            return None

    @property
    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the platform is opened with 'async with' before anything is sent")
        return self._session


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """Read the beginning of an answer; its status counts even if the rest is cut off or endless."""
    read = bytearray()
    try:
        async for chunk in response.content.iter_any():
            read += chunk
            if len(read) >= MOST_ANSWER_BYTE:
                response.close()
                break
    except (aiohttp.ClientError, OSError):
        response.close()
    return bytes(read[:MOST_ANSWER_BYTE])


def _json_object(text: bytes) -> dict[str, object]:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
