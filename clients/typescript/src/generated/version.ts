/** The hash of the supergraph that this client was made for. */
export const API_VERSION: string = "TSWQR92h5zsOSI9I";
