"""Methods that change how training proceeds, as strategies of the platform."""
